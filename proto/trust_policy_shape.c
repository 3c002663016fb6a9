/* SPDX-License-Identifier: Apache-2.0 */
/* The shape of the policy document, as a table. What a table cannot say is checked in
 * trust_policy.c. */
#include "proto/trust_shape.h"

#include <stdlib.h>
#include <string.h>

#include "lib/id.h"
#include "lib/json.h"
#include "proto/trust.h"

#define VERSION "strongroom-policy-1"
#define MAX_INPUTS 64
#define MAX_RULES 64
#define MAX_PEM (16u << 10)
#define MAX_ROOTS 32

static bool is_version(const char *text)
{
	return strcmp(text, VERSION) == 0;
}

static bool is_party(const char *text)
{
	return strcmp(text, "authors") == 0 || strcmp(text, "approvers") == 0 ||
	       strcmp(text, "runners") == 0 || strcmp(text, "recipients") == 0;
}

static bool is_mode(const char *text)
{
	return strcmp(text, "once") == 0 || strcmp(text, "lease") == 0;
}

static bool is_minimum(const char *text)
{
	return strcmp(text, "tee") == 0 || strcmp(text, "software-tpm") == 0 ||
	       strcmp(text, "none") == 0;
}

bool shape_is_egress(const char *text)
{
	return strcmp(text, "none") == 0 || strcmp(text, "managed") == 0 ||
	       strcmp(text, "direct") == 0;
}

static bool is_output_slot(const char *text)
{
	return strcmp(text, "output") == 0;
}

static bool is_input_slot(const char *text)
{
	return strncmp(text, "input/", 6) == 0 && rule_is_slot(text);
}

/* One file name: no folder, not hidden. */
static bool is_file(const char *text)
{
	size_t len =
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return len > 0 && len <= 128 && text[len] == '\0' && text[0] != '.';
}

/* <tenant>/<name>, OCI's characters. */
bool shape_is_repository(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-/");

	return len > 2 && len <= 200 && text[len] == '\0' && strchr(text, '/') &&
	       !strstr(text, "//") && !strstr(text, "..") && text[0] != '/' && text[len - 1] != '/';
}

static bool is_env_name(const char *text)
{
	size_t len =
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	return len > 0 && len <= 128 && text[len] == '\0' && !(text[0] >= '0' && text[0] <= '9');
}

static bool is_root_filesystem(const char *text)
{
	return strcmp(text, "writable") == 0 || strcmp(text, "read-only") == 0;
}

static bool is_pem(const char *text)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----\n";

	return strncmp(text, begin, sizeof(begin) - 1) == 0 && strlen(text) <= MAX_PEM &&
	       strstr(text, "-----END CERTIFICATE-----");
}

static bool is_file_type(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789");

	return len > 0 && len <= 16 && text[len] == '\0';
}

/* A label, or one with an id in it. */
static bool is_scope(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_");

	return len > 0 && len <= 63 && text[len] == '\0' && text[0] != '-' && text[0] != '_';
}

static bool is_approved_object(const char *text)
{
	return rule_is_dataset(text) || rule_is_app(text);
}

static bool is_role(const char *text)
{
	return text[0] && strlen(text) <= 63;
}

bool shape_is_level(const char *text)
{
	return strcmp(text, "tenant") == 0 || strcmp(text, "dataset") == 0 ||
	       strcmp(text, "workflow") == 0;
}

static bool is_direction(const char *text)
{
	return strcmp(text, "input") == 0 || strcmp(text, "output") == 0;
}

static bool is_input(const char *text)
{
	return strcmp(text, "input") == 0;
}

static bool is_output(const char *text)
{
	return strcmp(text, "output") == 0;
}

static bool is_input_credentials(const char *text)
{
	return strncmp(text, "credentials/input/", 18) == 0 && rule_is_slot(text);
}

static bool is_output_credentials(const char *text)
{
	return strncmp(text, "credentials/output/", 19) == 0 && rule_is_slot(text);
}

static bool is_app_config_id(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

const struct rule shape_digest = SHAPE_TEXT("", rule_is_digest);
const struct rule shape_endpoint = SHAPE_TEXT("", shape_is_endpoint);
static const struct rule ARGUMENT = { .name = "", .kind = RULE_TEXT, .min = 0, .max = 4096 };

static const struct rule TEMPLATE[] = { SHAPE_TEXT("id", rule_is_label),
	SHAPE_NUMBER("version", 1, RULE_MAX), SHAPE_END };

static const struct rule PARTIES[] = {
	SHAPE_SET("authors", 1, SHAPE_MAX_KEYS, &shape_digest),
	SHAPE_SET("approvers", 0, SHAPE_MAX_KEYS, &shape_digest),
	SHAPE_SET("runners", 1, SHAPE_MAX_KEYS, &shape_digest),
	SHAPE_SET("recipients", 1, SHAPE_MAX_KEYS, &shape_digest),
	SHAPE_END,
};

/* Who: the name of a party, or keys. */
static const struct rule WHO[] = {
	SHAPE_TEXT("party", is_party),
	SHAPE_SET("keys", 1, SHAPE_MAX_KEYS, &shape_digest),
	SHAPE_END,
};

static const struct rule *party_or_keys(const json_t *value)
{
	return &WHO[json_is_string(value) ? 0 : 1];
}

static const struct rule APPROVED = SHAPE_TEXT("", is_approved_object);
static const struct rule RULE[] = {
	SHAPE_TEXT("scope", is_scope),
	{ .name = "of", .kind = RULE_CHOICE, .of = WHO, .choose = party_or_keys },
	SHAPE_NUMBER("k", 1, SHAPE_MAX_KEYS),
	SHAPE_BOOL("veto"),
	SHAPE_NUMBER("max_age_s", 0, RULE_MAX),
	SHAPE_SET("objects", 0, MAX_INPUTS, &APPROVED),
	{ .name = "role", .kind = RULE_TEXT, .is = is_role, .optional = true },
	SHAPE_END,
};
static const struct rule ONE_RULE = SHAPE_OBJECT("", RULE);

static const struct rule APPROVAL[] = {
	SHAPE_LIST("rules", 1, MAX_RULES, &ONE_RULE),
	SHAPE_NUMBER("expires", 0, RULE_MAX),
	SHAPE_END,
};

static const struct rule CONSTRAINT[] = {
	SHAPE_TEXT("scope", shape_is_level),
	SHAPE_TEXT("subject", id_is_any),
	SHAPE_TEXT("hash", rule_is_digest),
	SHAPE_END,
};
static const struct rule ONE_CONSTRAINT = SHAPE_OBJECT("", CONSTRAINT);

static const struct rule LAYER[] = { SHAPE_TEXT("inner", rule_is_digest),
	SHAPE_TEXT("diff_id", rule_is_digest), SHAPE_END };
static const struct rule ONE_LAYER = SHAPE_OBJECT("", LAYER);

static const struct rule IMAGE[] = {
	SHAPE_TEXT("repository", shape_is_repository),
	SHAPE_TEXT("manifest", rule_is_digest),
	SHAPE_TEXT("config", rule_is_digest),
	SHAPE_LIST("layers", 1, 127, &ONE_LAYER),
	SHAPE_END,
};

static const struct rule PROCESS[] = {
	SHAPE_LIST("argv", 1, 256, &ARGUMENT),
	SHAPE_MAP("env", 0, 128, is_env_name, &ARGUMENT),
	SHAPE_TEXT("cwd", rule_is_path),
	SHAPE_END,
};

static const struct rule SLOT[] = {
	SHAPE_TEXT("commitment", rule_is_digest),
	SHAPE_TEXT("mode", is_mode),
	SHAPE_TEXT("owner", rule_is_digest),
	SHAPE_END,
};
static const struct rule ONE_SLOT = SHAPE_OBJECT("", SLOT);

static const struct rule INPUT[] = {
	SHAPE_TEXT("slot", is_input_slot),
	SHAPE_TEXT("dataset", rule_is_dataset),
	SHAPE_NUMBER("version", 1, RULE_MAX),
	SHAPE_TEXT("object", rule_is_object),
	SHAPE_TEXT("file", is_file),
	SHAPE_TEXT("digest", rule_is_digest),
	SHAPE_NUMBER("size", 0, RULE_MAX),
	SHAPE_END,
};
static const struct rule LOCATION[] = { SHAPE_TEXT("url", shape_is_url), SHAPE_END };

static const struct rule LOCATED[] = {
	SHAPE_TEXT("slot", is_input_credentials),
	SHAPE_TEXT("port", is_input),
	SHAPE_TEXT("name", rule_is_name),
	SHAPE_TEXT("dataset", rule_is_dataset),
	SHAPE_NUMBER("version", 1, RULE_MAX),
	SHAPE_OBJECT("location", LOCATION),
	{ .name = "digest", .kind = RULE_TEXT, .is = rule_is_digest, .or_null = true },
	SHAPE_NUMBER("credentials_version", 1, RULE_MAX),
	SHAPE_END,
};
static const struct rule INPUTS[] = {
	SHAPE_OBJECT("stored", INPUT),
	SHAPE_OBJECT("located", LOCATED),
	SHAPE_END,
};

/* In our own store, or somewhere else. */
static const struct rule *stored_or_located(const json_t *value)
{
	return &INPUTS[json_object_get(value, "location") ? 1 : 0];
}

static const struct rule ONE_INPUT = {
	.name = "", .kind = RULE_CHOICE, .of = INPUTS, .choose = stored_or_located
};

static const struct rule LOCATED_OUT[] = {
	SHAPE_TEXT("slot", is_output_credentials),
	SHAPE_TEXT("port", is_output),
	SHAPE_TEXT("name", rule_is_name),
	SHAPE_TEXT("dataset", rule_is_dataset),
	SHAPE_NUMBER("version", 1, RULE_MAX),
	SHAPE_OBJECT("location", LOCATION),
	SHAPE_NUMBER("credentials_version", 1, RULE_MAX),
	SHAPE_END,
};
static const struct rule ONE_OUTPUT = SHAPE_OBJECT("", LOCATED_OUT);

static const struct rule PORT_DATASET[] = { SHAPE_TEXT("dataset", rule_is_dataset), SHAPE_END };
static const struct rule ONE_PORT = SHAPE_OBJECT("", PORT_DATASET);
static const struct rule PORT = SHAPE_MAP("", 0, MAX_INPUTS, rule_is_name, &ONE_PORT);

static const struct rule OUTPUT[] = { SHAPE_TEXT("slot", is_output_slot),
	SHAPE_TEXT("name", rule_is_label), SHAPE_END };

static const struct rule CONFIG_FILE[] = { SHAPE_TEXT("path", rule_is_path),
	SHAPE_TEXT("digest", rule_is_digest), SHAPE_END };
static const struct rule ONE_CONFIG_FILE = SHAPE_OBJECT("", CONFIG_FILE);

static const struct rule MEASUREMENTS[] = {
	SHAPE_TEXT("encrypt-output", rule_is_digest),
	SHAPE_TEXT("decrypt-input", rule_is_digest),
	SHAPE_TEXT("decrypt-output", rule_is_digest),
	SHAPE_END,
};

const struct rule shape_evidence[] = { SHAPE_TEXT("minimum", is_minimum), SHAPE_END };

static const struct rule ROOT = SHAPE_TEXT("", is_pem);
static const struct rule EGRESS[] = {
	SHAPE_TEXT("mode", shape_is_egress),
	SHAPE_SET("domains", 0, SHAPE_MAX_DOMAINS, &shape_endpoint),
	{ .name = "roots",
		.kind = RULE_SET,
		.min = 1,
		.max = MAX_ROOTS,
		.of = &ROOT,
		.or_null = true,
		.optional = true },
	SHAPE_END,
};

static const struct rule FILE_TYPE = SHAPE_TEXT("", is_file_type);
const struct rule shape_gates[] = {
	SHAPE_NUMBER_OR_NULL("max_bytes", 0, RULE_MAX),
	SHAPE_NUMBER_OR_NULL("max_files", 0, 1000000),
	SHAPE_SET_OR_NULL("file_types", 0, 64, &FILE_TYPE),
	SHAPE_NUMBER_OR_NULL("minimum_rows", 0, RULE_MAX),
	SHAPE_END,
};

static const struct rule APP[] = {
	SHAPE_TEXT("id", rule_is_app),
	SHAPE_TEXT("config", rule_is_app_config),
	{ .name = "runtime", .kind = RULE_ANY }, /* proto/app_config.h */
	SHAPE_TEXT("app_config_id", is_app_config_id),
	SHAPE_END,
};

static const struct rule LIMITS[] = {
	SHAPE_NUMBER("memory_bytes", 1 << 20, RULE_MAX),
	SHAPE_NUMBER("pids", 1, 32768),
	SHAPE_NUMBER("wall_seconds", 1, SHAPE_WEEK),
	SHAPE_NUMBER("cpu_seconds", 1, 64LL * SHAPE_WEEK),
	SHAPE_NUMBER("output_bytes", 0, RULE_MAX),
	SHAPE_NUMBER("output_files", 0, 1000000),
	SHAPE_END,
};

const struct rule trust_policy_shape[] = {
	SHAPE_TEXT("v", is_version),
	SHAPE_TEXT("name", rule_is_label),
	SHAPE_TEXT("space", rule_is_space),
	SHAPE_OBJECT("template", TEMPLATE),
	SHAPE_OBJECT("parties", PARTIES),
	SHAPE_OBJECT("approval", APPROVAL),
	SHAPE_OBJECT("image", IMAGE),
	SHAPE_OBJECT("process", PROCESS),
	SHAPE_MAP("slots", 2, 2 * MAX_INPUTS + 2, rule_is_slot, &ONE_SLOT),
	SHAPE_LIST("inputs", 0, MAX_INPUTS, &ONE_INPUT),
	{ .name = "outputs",
		.kind = RULE_LIST,
		.max = MAX_INPUTS,
		.of = &ONE_OUTPUT,
		.optional = true },
	SHAPE_OBJECT("output", OUTPUT),
	{ .name = "constraints",
		.kind = RULE_SET,
		.max = 32,
		.of = &ONE_CONSTRAINT,
		.optional = true },
	{ .name = "app", .kind = RULE_OBJECT, .of = APP, .or_null = true, .optional = true },
	{ .name = "root_filesystem",
		.kind = RULE_TEXT,
		.is = is_root_filesystem,
		.optional = true },
	{ .name = "gates", .kind = RULE_OBJECT, .of = shape_gates, .optional = true },
	SHAPE_LIST("config_files", 0, 64, &ONE_CONFIG_FILE),
	SHAPE_MAP("ports", 0, 2, is_direction, &PORT),
	SHAPE_OBJECT("measurements", MEASUREMENTS),
	SHAPE_OBJECT("evidence", shape_evidence),
	SHAPE_OBJECT("egress", EGRESS),
	SHAPE_OBJECT("limits", LIMITS),
	SHAPE_NUMBER("max_runs", 1, 1000000),
	SHAPE_NUMBER("deadline", 1, RULE_MAX),
	SHAPE_END,
};

/* --- as a JSON Schema --- */

#define HOST "[a-z0-9]([a-z0-9.-]*[a-z0-9-])?"

static const struct rule_pattern PATTERNS[] = {
	{ is_version, "^strongroom-policy-1$" },
	{ rule_is_digest, "^sha256:[0-9a-f]{64}$" },
	{ rule_is_label, "^[a-z0-9][a-z0-9-]{0,62}$" },
	{ rule_is_name, "^[a-z0-9][a-z0-9-]{0,30}$" },
	{ rule_is_slot, "^(image|output|(input|credentials/input|credentials/output)/"
			"[a-z0-9][a-z0-9-]{0,30})$" },
	{ is_input_slot, "^input/[a-z0-9][a-z0-9-]{0,30}$" },
	{ is_input_credentials, "^credentials/input/[a-z0-9][a-z0-9-]{0,30}$" },
	{ is_output_credentials, "^credentials/output/[a-z0-9][a-z0-9-]{0,30}$" },
	{ is_output_slot, "^output$" },
	{ is_input, "^input$" },
	{ is_output, "^output$" },
	{ is_direction, "^(input|output)$" },
	{ rule_is_path, "^/" },
	{ rule_is_space, "^spc_[0-9a-f]{32}$" },
	{ rule_is_dataset, "^dst_[0-9a-f]{32}$" },
	{ rule_is_object, "^obj_[0-9a-f]{32}$" },
	{ rule_is_app, "^app_[0-9a-f]{32}$" },
	{ rule_is_app_config, "^acf_[0-9a-f]{32}$" },
	{ id_is_any, "^[a-z]{2,4}_[0-9a-f]{32}$" },
	{ is_approved_object, "^(dst|app)_[0-9a-f]{32}$" },
	{ is_party, "^(authors|approvers|runners|recipients)$" },
	{ is_scope, "^[a-z0-9][a-z0-9_-]{0,62}$" },
	{ is_mode, "^(once|lease)$" },
	{ is_minimum, "^(tee|software-tpm|none)$" },
	{ shape_is_egress, "^(none|managed|direct)$" },
	{ shape_is_endpoint, "^" HOST ":[1-9][0-9]{0,4}$" },
	{ shape_is_url, "^https://" HOST "(:[1-9][0-9]{0,4})?/[^?#]*$" },
	{ is_root_filesystem, "^(writable|read-only)$" },
	{ shape_is_level, "^(tenant|dataset|workflow)$" },
	{ is_file, "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$" },
	{ is_file_type, "^[a-z0-9]{1,16}$" },
	{ shape_is_repository, "^[a-z0-9._-]+(/[a-z0-9._-]+)+$" },
	{ is_env_name, "^[A-Za-z_][A-Za-z0-9_]{0,127}$" },
	{ is_app_config_id, "^[0-9a-f]{64}$" },
	{ is_pem, "^-----BEGIN CERTIFICATE-----\n" },
	{ is_role, "^.{1,63}$" },
	{ NULL, NULL },
};

json_t *trust_policy_schema(void)
{
	json_t *schema = rule_schema(trust_policy_shape, PATTERNS);

	json_object_set_new(
		schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
	json_object_set_new(schema, "title", json_string(VERSION));
	return schema;
}
