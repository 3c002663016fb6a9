/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a policy says what a graph says about one of its applications. */
#include <string.h>

#include "lib/json.h"
#include "services/policy/apps.h"
#include "services/policy/workflows.h"

static int differs(
	const struct graph_object *app, const char *id, const char *what, struct err *err)
{
	return err_set(err, ERR_UNPROCESSABLE, "workflow.policy_differs",
		"the policy of '%s' %s %s", app->id, what, id);
}

/* The port of an entry of inputs or outputs; our own store's have none to choose. */
static const char *port_of(const json_t *entry, bool is_output)
{
	const char *port = json_text(entry, "port");

	return port ? port : is_output ? "output" : "input";
}

/* Whether a list of the policy has this dataset at this port. */
static bool has_entry(const json_t *list, const char *dataset, const char *port, bool is_output)
{
	json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry) {
		if (json_text_is(entry, "dataset", dataset) &&
			strcmp(port_of(entry, is_output), port) == 0)
			return true;
	}
	return false;
}

static bool is_joined(const struct graph *graph, const struct graph_object *app,
	const json_t *entry, bool is_output)
{
	const struct graph_object *other;
	const char *port = NULL;
	size_t at = 0;

	while ((other = graph_joined(graph, app, is_output, &at, &port))) {
		if (other->ref && json_text_is(entry, "dataset", other->ref) &&
			strcmp(port_of(entry, is_output), port) == 0)
			return true;
	}
	return false;
}

/* What is another tenant's needs the word of whoever the policy says answers for it: a rule that
 * lists it, so that nobody forgets to ask. Whose its keys are is not known here (certreg is a
 * directory, no authority), and nothing rests on it: a rule with keys of the author's own gets him
 * a version that is called approved, and no data, which opens with a grant of its owner for this
 * very policy only. */
static int check_owner(const struct workflow *workflow, const struct graph_object *object,
	const struct trust_policy *policy, struct err *err)
{
	const json_t *fact = json_object_get(workflow->facts, object->ref);
	json_t *rule;
	size_t i;

	if (json_text_is(fact, "tenant", workflow->tenant))
		return 0;
	json_array_foreach (trust_policy_rules(policy->doc), i, rule) {
		if (json_list_has(json_object_get(rule, "objects"), object->ref))
			return 0;
	}
	return err_set(err, ERR_UNPROCESSABLE, "workflow.owner_not_asked",
		"%s is another tenant's, and no rule of the policy answers for it", object->ref);
}

/* Each dataset of the graph is in the policy, and the other way round. */
static int check_side(const struct workflow *workflow, const struct graph_object *app,
	const struct trust_policy *policy, bool is_output, struct err *err)
{
	const json_t *list = json_object_get(policy->doc, is_output ? "outputs" : "inputs");
	const struct graph_object *other;
	const char *port = NULL;
	json_t *entry;
	size_t at = 0, i;

	while ((other = graph_joined(&workflow->graph, app, is_output, &at, &port))) {
		if (!has_entry(list, other->ref, port, is_output))
			return differs(app, other->ref, "does not have", err);
		if (check_owner(workflow, other, policy, err) < 0)
			return -1;
	}
	json_array_foreach (list, i, entry) {
		if (!is_joined(&workflow->graph, app, entry, is_output))
			return differs(app, json_text(entry, "dataset"),
				"has what the graph does not join to it,", err);
	}
	return 0;
}

static int check_image(const struct workflow *workflow, const struct graph_object *app,
	const struct trust_policy *policy, struct err *err)
{
	const json_t *fact = json_object_get(workflow->facts, app->ref);

	if (!json_text_is(fact, "repository", policy->repository) ||
		!json_text_is(fact, "manifest", policy->manifest_digest))
		return differs(app, app->ref, "does not run the image of", err);
	return app_check_domains(policy, json_object_get(fact, "domains"), err);
}

/* A policy that names an application names this one, with this configuration. */
static int check_app(const struct graph_object *app, const json_t *named, struct err *err)
{
	const char *config = json_text(named, "config");

	if (!json_is_object(named))
		return app->config ? differs(app, app->config, "does not have", err) : 0;
	if (!json_text_is(named, "id", app->ref))
		return differs(app, app->ref, "does not run", err);
	if (strcmp(config ? config : "", app->config ? app->config : "") != 0)
		return differs(
			app, app->config ? app->config : "no configuration", "does not have", err);
	return 0;
}

int workflow_policy_check(const struct workflow *workflow, const struct graph_object *app,
	const struct trust_policy *policy, struct err *err)
{
	if (strcmp(policy->space, workflow->space) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "workflow.wrong_space",
			"the policy of '%s' is for another space", app->id);
	if (check_image(workflow, app, policy, err) < 0 ||
		check_app(app, json_object_get(policy->doc, "app"), err) < 0 ||
		check_owner(workflow, app, policy, err) < 0 ||
		check_side(workflow, app, policy, false, err) < 0)
		return -1;
	return check_side(workflow, app, policy, true, err);
}
