/* SPDX-License-Identifier: Apache-2.0 */
/* Plans are walked as far as is asked for; what they hold beside that is tofu's. */
#include "services/provisioner/tofu_plan.h"

#include <jansson.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"

#define MOST_CHANGES 64u
#define MOST_DEPTH 8u

static int forbidden(struct err *err, const char *address, const char *why)
{
	return err_set(err, ERR_FORBIDDEN, "tofu.plan_forbidden", "'%.120s' %s",
		address ? address : "?", why);
}

static bool is_allowed(const json_t *types, const char *type)
{
	const json_t *one;
	size_t i;

	json_array_foreach ((json_t *)types, i, one) {
		if (type && strcmp(json_string_value(one), type) == 0)
			return true;
	}
	return false;
}

/* "delete" and "create" in one change are a replacement. */
static int check_actions(const json_t *resource, bool is_end, struct err *err)
{
	static const char *const known[] = { "no-op", "read", "create", "update", "delete" };
	const char *address = json_text(resource, "address");
	const json_t *actions = json_object_get(json_object_get(resource, "change"), "actions");
	const json_t *action;
	size_t i;

	if (json_array_size(actions) == 0)
		return forbidden(err, address, "has no actions");
	json_array_foreach ((json_t *)actions, i, action) {
		const char *name = json_string_value(action);
		size_t n = 0;

		while (n < ARRAY_LEN(known) && (!name || strcmp(known[n], name) != 0))
			n++;
		if (n == ARRAY_LEN(known))
			return forbidden(err, address, "has an action that is not known");
		if (is_end && (n == 2 || n == 3))
			return forbidden(err, address, "would be made or changed by a removal");
	}
	return 0;
}

static int check_changes(const json_t *plan, const json_t *types, bool is_end, struct err *err)
{
	const json_t *changes = json_object_get(plan, "resource_changes"), *resource;
	size_t i;

	if (json_array_size(changes) > MOST_CHANGES)
		return forbidden(err, "resource_changes", "has more than 64 entries");
	json_array_foreach ((json_t *)changes, i, resource) {
		if (!is_allowed(types, json_text(resource, "type")))
			return forbidden(err, json_text(resource, "address"),
				"is of a type that the template does not allow");
		if (check_actions(resource, is_end, err) < 0)
			return -1;
	}
	return 0;
}

/* Of one module: data that is read while planning is in no change, and a provisioner runs programs
 * here. */
static int check_resources(const json_t *module, const json_t *types, struct err *err)
{
	const json_t *resource;
	size_t i;

	json_array_foreach (json_object_get(module, "resources"), i, resource) {
		if (!is_allowed(types, json_text(resource, "type")))
			return forbidden(err, json_text(resource, "address"),
				"is of a type that the template does not allow");
		if (json_array_size(json_object_get(resource, "provisioners")) > 0)
			return forbidden(err, json_text(resource, "address"), "has a provisioner");
	}
	return 0;
}

static int check_module(const json_t *module, const json_t *types, unsigned depth, struct err *err)
{
	const char *name;
	json_t *call;

	if (depth > MOST_DEPTH)
		return forbidden(err, "configuration", "is nested too deeply");
	if (check_resources(module, types, err) < 0)
		return -1;
	json_object_foreach (json_object_get(module, "module_calls"), name, call) {
		if (check_module(json_object_get(call, "module"), types, depth + 1, err) < 0)
			return -1;
	}
	return 0;
}

int tofu_plan_check(const char *text, size_t len, const json_t *types, bool is_end, struct err *err)
{
	auto_json json_t *plan = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *format = json_text(plan, "format_version");
	const json_t *root = json_object_get(json_object_get(plan, "configuration"), "root_module");

	if (!format || strncmp(format, "1.", 2) != 0 || !json_is_object(root))
		return err_set(err, ERR_UPSTREAM, "tofu.bad_plan",
			"what tofu shows is no plan of format 1.x");
	if (json_is_true(json_object_get(plan, "errored")))
		return err_set(err, ERR_UPSTREAM, "tofu.bad_plan", "the plan is not whole");
	return check_module(root, types, 0, err) < 0 ? -1 : check_changes(plan, types, is_end, err);
}

/* --- codes --- */

static const struct {
	const char *part, *code;
} causes[] = {
	{ "Error acquiring the state lock", "tofu.state_locked" },
	{ "Saved plan is stale", "tofu.plan_stale" },
	{ "Failed to save state", "tofu.state_not_saved" },
	{ "Failed to persist state", "tofu.state_not_saved" },
	{ "Error saving state", "tofu.state_not_saved" },
	{ "Failed to install provider", "tofu.providers" },
	{ "Failed to query available provider packages", "tofu.providers" },
	{ "Provider dependency changes detected", "tofu.providers" },
	{ "Inconsistent dependency lock file", "tofu.providers" },
	{ "Required plugins are not installed", "tofu.providers" },
};

static const struct {
	const char *step, *code;
} steps[] = {
	{ "init", "tofu.init_failed" },
	{ "plan", "tofu.plan_failed" },
	{ "show", "tofu.show_failed" },
	{ "apply", "tofu.apply_failed" },
	{ "output", "tofu.output_failed" },
	{ "refresh", "tofu.refresh_failed" },
	{ "push", "tofu.state_not_saved" },
};

const char *tofu_code_of(const char *step, const struct tofu_stream *stream)
{
	if (stream->is_other)
		return "tofu.other_version";
	for (size_t i = 0; i < ARRAY_LEN(causes); i++) {
		if (strstr(stream->summary, causes[i].part))
			return causes[i].code;
	}
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (strcmp(steps[i].step, step) == 0)
			return steps[i].code;
	}
	return "tofu.apply_failed";
}

bool tofu_is_passing(const char *code)
{
	static const char *const passing[] = { "tofu.state_locked", "tofu.plan_stale",
		"tofu.state_not_saved", "tofu.run_lost" };

	for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
		if (strcmp(passing[i], code) == 0)
			return true;
	}
	return false;
}
