/* SPDX-License-Identifier: Apache-2.0 */
/* The members of policy_records.h. */
#include "client/policy_records.h"

#include <string.h>

#include "client/session.h"
#include "lib/json.h"
#include "lib/mem.h"

static int get(const struct task *task, const char *path, json_t **ret_record, struct err *err)
{
	const struct api_call call = {
		.label = "show", .audience = "policy", .method = "GET", .path = path
	};

	return api_call(task->project->api, &call, ret_record, NULL, err);
}

/* --- the application --- */

/* By its id, or by its name among those of the application; whole, which a list's are not. */
static int find_config(const struct task *task, const char *app, const char *called,
	json_t **ret_config, struct err *err)
{
	auto_free char *list = mem_printf("/v1/app-configs?page_size=200&app=%s", app),
		       *path = NULL;
	auto_json json_t *page = NULL;
	json_t *config;
	size_t i;

	if (get(task, list, &page, err) < 0)
		return -1;
	json_array_foreach (json_object_get(page, "items"), i, config) {
		if (!json_text_is(config, "name", called) && !json_text_is(config, "id", called))
			continue;
		path = mem_printf("/v1/app-configs/%s", json_text(config, "id"));
		return get(task, path, ret_config, err);
	}
	return err_set(err, ERR_NOT_FOUND, "client.not_found",
		"no configuration of the application is called '%s'", called);
}

static json_t *runtime_of(const json_t *config)
{
	static const char *const members[] = { "app_config", "labels", "zone_ca", "workflow" };
	json_t *runtime = json_object();

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		json_t *value = json_object_get(config, members[i]);

		if (value && !json_is_null(value))
			json_object_set(runtime, members[i], value);
	}
	return runtime;
}

int policy_add_app(const struct task *task, json_t *document, struct err *err)
{
	const char *named = task_field(task, "app"), *configured = task_field(task, "app_config");
	auto_json json_t *app = NULL, *config = NULL;

	if (!named && !configured)
		return 0;
	if (!named || !configured)
		return err_set(
			err, ERR_INVALID, "plan.field_value", "'app' and 'app_config' go together");
	if (collection_find(task->project->api, &collection_apps, named, &app, err) < 0 ||
		find_config(task, json_text(app, "id"), configured, &config, err) < 0)
		return -1;
	return json_object_set_new(document, "app",
		json_pack("{s:O,s:O,s:o,s:O}", "id", json_object_get(app, "id"), "config",
			json_object_get(config, "id"), "runtime", runtime_of(config),
			"app_config_id", json_object_get(config, "app_config_id")));
}

/* --- scoped policies --- */

static int pin(const struct task *task, const json_t *constraint, json_t *pins, struct err *err)
{
	const json_t *text = json_object_get(constraint, "document");
	char hash[DIGEST_TEXT_SIZE];

	if (jcs_digest(text, hash, err) < 0)
		return -1;
	ui_note(task->project->ui, "keeps to the scoped policy '%s' of the %s",
		json_text(text, "name"), json_text(text, "scope"));
	return json_array_append_new(
		pins, json_pack("{s:O,s:O,s:s}", "scope", json_object_get(text, "scope"), "subject",
			      json_object_get(text, "subject"), "hash", hash));
}

/* The policy has no room for more than a page of them. */
static int pin_all(const struct task *task, const char *subject, json_t *pins, struct err *err)
{
	auto_free char *path = mem_printf("/v1/constraints?page_size=200&subject=%s", subject);
	auto_json json_t *page = NULL;
	json_t *constraint;
	size_t i;

	if (get(task, path, &page, err) < 0)
		return -1;
	json_array_foreach (json_object_get(page, "items"), i, constraint) {
		if (pin(task, constraint, pins, err) < 0)
			return -1;
	}
	return 0;
}

static int pin_workflow(const struct task *task, json_t *pins, struct err *err)
{
	const char *named = task_field(task, "workflow");
	auto_json json_t *workflow = NULL;

	if (!named)
		return 0;
	if (collection_find(task->project->api, &collection_workflows, named, &workflow, err) < 0)
		return -1;
	return pin_all(task, json_text(workflow, "id"), pins, err);
}

int policy_add_constraints(const struct task *task, json_t *document, struct err *err)
{
	const json_t *tenant = api_tenant(task->project->api, err);
	json_t *pins = json_object_get(document, "constraints"), *input;
	auto_json json_t *seen = json_object();
	size_t i;

	if (!tenant || pin_all(task, json_text(tenant, "id"), pins, err) < 0)
		return -1;
	json_array_foreach (json_object_get(document, "inputs"), i, input) {
		const char *dataset = json_text(input, "dataset");

		if (json_object_get(seen, dataset))
			continue;
		json_object_set_new(seen, dataset, json_true());
		if (pin_all(task, dataset, pins, err) < 0)
			return -1;
	}
	return pin_workflow(task, pins, err);
}
