/* SPDX-License-Identifier: Apache-2.0 */
/* Writing of main.yml. Values are written as JSON strings, which are YAML strings too. */
#include "client/setup_plan.h"

#include <stdlib.h>
#include <string.h>

#include "client/plan.h"
#include "lib/json.h"
#include "lib/mem.h"

/* One task; fields are {YAML name, answer key, or "=literal"}; without an answer the field is left
 * out. */
struct line {
	const char *field, *from;
};

struct section {
	const char *name, *key;
	struct line lines[8];
};

static const struct section sections[] = {
	{ "fetch the code", "populate-codebase",
		{ { "mode", "code.mode" }, { "url", "code.url" }, { "ref", "code.ref" },
			{ "code_path", "code.path" } } },
	{ "make and register the certificate", "get-certs",
		{ { "mode", "=self-signed" }, { "action", "=create" }, { "path", "=certs" },
			{ "name", "=client" } } },
	{ "make the receiver's key pair", "get-client-keypair",
		{ { "mode", "=create" }, { "path", "=keys" }, { "name", "=receiver" } } },
	{ "make the key of the image", "get-symmetric-algokey", { { "path", "=keys" } } },
	{ "claim a sandbox", "set-sandbox-specs",
		{ { "template_id", "template" }, { "name", "name" },
			{ "accept_evidence", "accept_evidence" },
			{ "certificate", "={{ cert_metadata \"certificate\" }}" } } },
	{ "build, encrypt and push the image", "dockerize-algo",
		{ { "app_dir", "={{ codebase_metadata \"code_path\" }}" },
			{ "archive", "image.archive" },
			{ "key_algo", "={{ algokey_metadata \"path\" }}" } } },
	{ "encrypt and upload the data", "get-data-projection",
		{ { "projection_id", "projection.name" }, { "data_identifier", "data" } } },
	{ "make the output bundle", "output-encrypt-bundle", { { "name", "=output" } } },
	{ "write the policy", "prepare-policy",
		{ { "template_id", "={{ sandbox_metadata \"template_id\" }}" },
			{ "algo_image", "={{ algo_metadata \"algo_image\" }}" },
			{ "pub_client", "={{ client_keypair_metadata \"public_key\" }}" },
			{ "pipeline_name", "name" }, { "app", "app.name" },
			{ "app_config", "app.config" } } },
	{ "sign and upload the policy", "upload-policy",
		{ { "policy_doc", "={{ policy_metadata \"policy_doc\" }}" },
			{ "pipeline_name", "={{ policy_metadata \"pipeline_name\" }}" } } },
	{ "run", "execute-policy", { { "entity", "={{ submission_metadata \"pipeline_id\" }}" } } },
	{ "fetch the output", "retrieve-output",
		{ { "experiment_id", "={{ execution_metadata \"id\" }}" },
			{ "dest", "=artefacts" } } },
	{ "verify and decrypt the output", "decrypt-output",
		{ { "from", "={{ output_metadata \"path\" }}" }, { "keep_original", "=true" } } },
};

static int add_value(
	struct buf *plan, unsigned indent, const char *field, const char *value, struct err *err)
{
	auto_json json_t *text = json_string(value);
	auto_free char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;

	if (!quoted)
		return err_set(err, ERR_INVALID, "setup.answers", "'%s' is not UTF-8", field);
	return buf_printf(plan, err, "%*s%s: %s\n", (int)indent, "", field, quoted);
}

static int add_fields(
	struct buf *plan, const struct section *section, const json_t *answers, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(section->lines) && section->lines[i].field; i++) {
		const struct line *line = &section->lines[i];
		const char *value =
			*line->from == '=' ? line->from + 1 : json_text(answers, line->from);

		if (value && *value && add_value(plan, 8, line->field, value, err) < 0)
			return -1;
	}
	return 0;
}

/* limits.memory_bytes and the like, below a mapping of that name. */
static int add_group(struct buf *plan, const char *group, const json_t *answers, struct err *err)
{
	size_t len = strlen(group);
	bool is_open = false;
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)answers, key, value) {
		if (strncmp(key, group, len) != 0 || key[len] != '.')
			continue;
		if (!is_open && buf_printf(plan, err, "        %s:\n", group) < 0)
			return -1;
		is_open = true;
		if (add_value(plan, 10, key + len + 1, json_string_value(value), err) < 0)
			return -1;
	}
	return 0;
}

static int add_extras(
	struct buf *plan, const struct section *section, const json_t *answers, struct err *err)
{
	if (strcmp(section->key, "dockerize-algo") == 0) {
		if (buf_add_text(plan, "        docker:\n", err) < 0)
			return -1;
		return add_value(plan, 10, "image_name", json_text(answers, "name"), err);
	}
	if (strcmp(section->key, "prepare-policy") == 0)
		return add_group(plan, "limits", answers, err);
	if (strcmp(section->key, "set-sandbox-specs") == 0)
		return add_group(plan, "parameters", answers, err);
	return 0;
}

static int add_section(
	struct buf *plan, const struct section *section, const json_t *answers, struct err *err)
{
	if (buf_printf(plan, err, "    - name: %s\n      %s:\n", section->name, section->key) < 0 ||
		add_fields(plan, section, answers, err) < 0 ||
		add_extras(plan, section, answers, err) < 0)
		return -1;
	return add_value(plan, 6, "register", plan_kind(section->key)->variable, err);
}

int setup_plan(const json_t *answers, struct buf *ret_plan, struct err *err)
{
	struct plan parsed;

	if (buf_add_text(ret_plan, "---\n-\n", err) < 0 ||
		add_value(ret_plan, 2, "name", json_text(answers, "name"), err) < 0 ||
		buf_add_text(ret_plan, "  verbose: info\n  tasks:\n", err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		if (add_section(ret_plan, &sections[i], answers, err) < 0)
			return -1;
	}
	if (plan_parse((char *)ret_plan->data, ret_plan->len, "main.yml", NULL, &parsed, err) < 0)
		return -1;
	plan_release(&parsed);
	return 0;
}
