/* SPDX-License-Identifier: Apache-2.0 */
/* Assembling of the policy document, member by member. */
#include "client/policy_document.h"

#include <stdlib.h>
#include <string.h>

#include "client/policy_reach.h"
#include "client/policy_records.h"
#include "client/policy_rules.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define DAY 86400

/* The digest in an .spki file. */
static int read_spki(const char *path, char ret_spki[DIGEST_TEXT_SIZE], struct err *err)
{
	unsigned char digest[DIGEST_SIZE];
	auto_buf text = BUF_INIT(4096);

	if (buf_read_file(&text, path, err) < 0 || buf_add_text(&text, "", err) < 0)
		return -1;
	text.data[strcspn((char *)text.data, "\r\n")] = '\0';
	if (digest_parse((char *)text.data, digest, err) < 0)
		return err_wrap(err, "'%s' is no .spki file", path);
	snprintf(ret_spki, DIGEST_TEXT_SIZE, "%.*s", (int)DIGEST_TEXT_SIZE - 1, (char *)text.data);
	return 0;
}

/* Whoever else must agree: files of approvers.0, approvers.1, … of the plan. */
static int read_approvers(const struct task *task, json_t *approvers, struct err *err)
{
	for (unsigned i = 0;; i++) {
		auto_free char *name = mem_printf("approvers.%u", i);
		char spki[DIGEST_TEXT_SIZE];

		if (!task_field(task, name))
			return 0;
		if (read_spki(task_field(task, name), spki, err) < 0)
			return -1;
		json_array_append_new(approvers, json_string(spki));
	}
}

/* The output is for whoever offers its key; else for the receiver's key of get-client-keypair when
 * the plan names it, or for the owner. */
static int add_parties(
	const struct task *task, const json_t *offered, json_t *document, struct err *err)
{
	const char *elsewhere = json_text(json_object_get(offered, "output"), "owner");
	const char *owner = task_after_text(task, "get-certs", "spki", err),
		   *path = task_field(task, "pub_client");
	auto_json json_t *approvers = json_array();
	char receiver[DIGEST_TEXT_SIZE];

	if (!owner || (path && read_spki(path, receiver, err) < 0) ||
		read_approvers(task, approvers, err) < 0)
		return -1;
	json_object_set_new(document, "parties",
		json_pack("{s:[s],s:O,s:[s],s:[s]}", "authors", owner, "approvers", approvers,
			"runners", owner, "recipients",
			elsewhere ? elsewhere
			: path	  ? receiver
				  : owner));
	return 0;
}

static int number_field(const char *text, const char *name, json_t *object, struct err *err)
{
	char *end = NULL;
	long long number = strtoll(text, &end, 10);

	if (end == text || *end || number < 1)
		return err_set(
			err, ERR_INVALID, "plan.field_value", "limits.%s must be a number", name);
	json_object_set_new(object, name, json_integer(number));
	return 0;
}

static int add_limits(const struct task *task, json_t *document, struct err *err)
{
	auto_json json_t *given = task_fields_below(task, "limits");
	json_t *limits = json_pack("{s:i,s:i,s:i,s:i,s:i,s:i}", "memory_bytes", 134217728, "pids",
		64, "wall_seconds", 120, "cpu_seconds", 120, "output_bytes", 67108864,
		"output_files", 1000);
	const char *name;
	json_t *value;

	json_object_set_new(document, "limits", limits);
	json_object_foreach (given, name, value) {
		if (number_field(json_string_value(value), name, limits, err) < 0)
			return -1;
	}
	return 0;
}

/* argv.0, argv.1, … of the plan, or what the image says. */
static json_t *argv_of(const struct task *task, const json_t *image)
{
	json_t *argv = json_array();

	for (unsigned i = 0;; i++) {
		auto_free char *name = mem_printf("argv.%u", i);

		if (!task_field(task, name))
			break;
		json_array_append_new(argv, json_string(task_field(task, name)));
	}
	if (json_array_size(argv) == 0)
		json_array_extend(argv, json_object_get(image, "argv"));
	return argv;
}

/* Our own, or another's as its owner offers it, who agrees to what the plan makes of it. */
static int add_image(
	const struct task *task, const json_t *offer, json_t *document, struct err *err)
{
	const json_t *offered = json_object_get(offer, "image"),
		     *image = offered ? offered : task_after(task, "dockerize-algo", err);
	const char *named = task_field(task, "algo_image"), *cwd = task_field(task, "cwd");
	auto_json json_t *own_env = task_fields_below(task, "env");
	json_t *env;

	if (!image)
		return -1;
	if (named && !offered && strcmp(named, json_text(image, "algo_image")) != 0)
		return err_set(err, ERR_INVALID, "plan.field_value", "algo_image is not %s",
			json_text(image, "algo_image"));
	env = json_copy(json_object_get(image, "env"));
	json_object_update(env, own_env);
	json_object_set_new(document, "image",
		json_pack("{s:O,s:O,s:O,s:O}", "repository", json_object_get(image, "repository"),
			"manifest", json_object_get(image, "manifest"), "config",
			json_object_get(image, "config"), "layers",
			json_object_get(image, "layers")));
	json_object_set_new(document, "process",
		json_pack("{s:o,s:o,s:s}", "argv", argv_of(task, image), "env", env, "cwd",
			cwd ? cwd : json_text(image, "cwd")));
	return 0;
}

/* Our own data, unless all of it is what others offer. */
static int add_input(const struct task *task, json_t *inputs, struct err *err)
{
	static const char *const same[] = { "slot", "version", "object", "file", "digest", "size" };
	const json_t *data = state_outputs(&task->project->state, "get-data-projection");
	const char *cid = task_field(task, "dataset.cid");
	json_t *input;

	if (!data && task_field(task, "offers"))
		return 0;
	if (!task_after(task, "get-data-projection", err))
		return -1;
	if (cid && strcmp(cid, json_text(data, "cid")) != 0)
		return err_set(err, ERR_INVALID, "plan.field_value", "dataset.cid is not %s",
			json_text(data, "cid"));
	input = json_pack("{s:O}", "dataset", json_object_get(data, "dataset_id"));
	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		json_object_set(input, same[i], json_object_get(data, same[i]));
	return json_array_append_new(inputs, input);
}

/* Behind our own slots and inputs those of others. */
static int add_inputs(
	const struct task *task, const json_t *offer, json_t *document, struct err *err)
{
	json_t *inputs = json_array(), *slots = json_object_get(document, "slots"), *slot;
	const char *name;

	json_object_set_new(document, "inputs", inputs);
	if (add_input(task, inputs, err) < 0)
		return -1;
	json_object_foreach (json_object_get(offer, "slots"), name, slot) {
		if (json_object_get(slots, name))
			return err_set(err, ERR_CONFLICT, "offer.twice",
				"there are two secrets for the slot '%s'", name);
		json_object_set(slots, name, slot);
	}
	json_array_extend(json_object_get(document, "outputs"), json_object_get(offer, "outputs"));
	return json_array_extend(inputs, json_object_get(offer, "inputs"));
}

static int add_spaces(const struct task *task, json_t *document, struct err *err)
{
	const json_t *bundle = task_after(task, "output-encrypt-bundle", err);
	const json_t *sandbox = task_after(task, "set-sandbox-specs", err);
	const char *template_id = task_field(task, "template_id"),
		   *name = task_field(task, "output.name");

	if (!bundle || !sandbox)
		return -1;
	if (template_id && strcmp(template_id, json_text(sandbox, "template_id")) != 0)
		return err_set(err, ERR_INVALID, "plan.field_value", "template_id is not %s",
			json_text(sandbox, "template_id"));
	json_object_set_new(document, "template",
		json_pack("{s:O,s:O}", "id", json_object_get(sandbox, "template_id"), "version",
			json_object_get(sandbox, "template_version")));
	json_object_set_new(document, "evidence",
		json_pack("{s:O}", "minimum", json_object_get(sandbox, "accept_evidence")));
	json_object_set_new(document, "output",
		json_pack("{s:s,s:s}", "slot", "output", "name",
			name ? name : json_text(bundle, "name")));
	json_object_set_new(document, "measurements",
		json_pack("{s:O,s:O,s:O}", "encrypt-output",
			json_object_get(bundle, "encrypt_output"), "decrypt-input",
			json_object_get(bundle, "decrypt_input"), "decrypt-output",
			json_object_get(bundle, "decrypt_output")));
	return 0;
}

static int add_bounds(const struct task *task, json_t *document, struct err *err)
{
	long long max_runs, days;

	if (task_number(task, "max_runs", 1, 1000000, &max_runs, err) < 0 ||
		task_number(task, "deadline_days", 1, 3650, &days, err) < 0)
		return -1;
	json_object_set_new(document, "max_runs", json_integer(max_runs));
	json_object_set_new(
		document, "deadline", json_integer(clock_unix_ms() / 1000 + days * DAY));
	return 0;
}

int policy_document(const struct task *task, json_t *slots, const json_t *offer,
	json_t **ret_document, struct err *err)
{
	const json_t *tenant = api_tenant(task->project->api, err);
	const char *name = task_field(task, "pipeline_name"), *space = task_field(task, "space");
	auto_json json_t *document = NULL;

	if (!tenant)
		return -1;
	if (!name)
		name = task->project->plan.name ? task->project->plan.name : "project";
	document = json_pack("{s:s,s:s,s:s,s:o,s:[],s:[],s:[],s:{},s:n,s:s,s:{s:n,s:n,s:n,s:n},"
			     "s:{s:s,s:[],s:n}}",
		"v", "strongroom-policy-1", "name", name, "space",
		space ? space : json_text(tenant, "space"), "slots", json_copy(slots),
		"constraints", "outputs", "config_files", "ports", "app", "root_filesystem",
		"writable", "gates", "max_bytes", "max_files", "file_types", "minimum_rows",
		"egress", "mode", "none", "domains", "roots");
	if (add_parties(task, json_object_get(offer, "slots"), document, err) < 0 ||
		add_image(task, offer, document, err) < 0 ||
		add_inputs(task, offer, document, err) < 0 ||
		policy_add_reach(task, document, err) < 0 ||
		policy_add_app(task, document, err) < 0 ||
		policy_add_constraints(task, document, err) < 0 ||
		add_spaces(task, document, err) < 0 || add_limits(task, document, err) < 0 ||
		add_bounds(task, document, err) < 0)
		return -1;
	json_object_set_new(document, "approval", policy_rules(document));
	*ret_document = take_ptr(document);
	return 0;
}
