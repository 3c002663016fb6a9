/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy document: its shape as a table, then what the table cannot say (slots, inputs and
 * parties must fit together). Its hash is taken over the canonical bytes only after all of it was
 * checked.
 */
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust.h"

#define VERSION "strongroom-policy-1"
#define MAX_PARTIES 32
#define MAX_INPUTS 64
#define SECONDS_PER_WEEK 604800

/* --- shape --- */

static bool is_version(const char *text)
{
	return strcmp(text, VERSION) == 0;
}

static bool is_approving(const char *text)
{
	return strcmp(text, "authors") == 0 || strcmp(text, "approvers") == 0;
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

static bool is_egress(const char *text)
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
static bool is_repository(const char *text)
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

static bool is_domain(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-");

	return len > 0 && len <= 253 && text[len] == '\0' && !strstr(text, "..") && text[0] != '.';
}

#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}
#define NAME(n, predicate)                                                                         \
	{                                                                                          \
		.name = (n), .kind = RULE_TEXT, .is = (predicate)                                  \
	}
#define NUMBER(n, low, high)                                                                       \
	{                                                                                          \
		.name = (n), .kind = RULE_NUMBER, .min = (low), .max = (high)                      \
	}
#define OBJECT(n, members)                                                                         \
	{                                                                                          \
		.name = (n), .kind = RULE_OBJECT, .of = (members)                                  \
	}
#define SET(n, low, high, rule)                                                                    \
	{                                                                                          \
		.name = (n), .kind = RULE_SET, .min = (low), .max = (high), .of = (rule)           \
	}
#define LIST(n, low, high, rule)                                                                   \
	{                                                                                          \
		.name = (n), .kind = RULE_LIST, .min = (low), .max = (high), .of = (rule)          \
	}
#define MAP(n, low, high, predicate, rule)                                                         \
	{                                                                                          \
		.name = (n), .kind = RULE_MAP, .min = (low), .max = (high), .is = (predicate),     \
		.of = (rule)                                                                       \
	}

static const struct rule DIGEST = NAME("", rule_is_digest);
static const struct rule DOMAIN = NAME("", is_domain);
static const struct rule ARGUMENT = { .name = "", .kind = RULE_TEXT, .min = 0, .max = 4096 };

static const struct rule TEMPLATE[] = { NAME("id", rule_is_label), NUMBER("version", 1, RULE_MAX),
	END };

static const struct rule PARTIES[] = {
	SET("authors", 1, MAX_PARTIES, &DIGEST),
	SET("approvers", 0, MAX_PARTIES, &DIGEST),
	SET("runners", 1, MAX_PARTIES, &DIGEST),
	SET("recipients", 1, MAX_PARTIES, &DIGEST),
	END,
};

static const struct rule APPROVAL[] = {
	NAME("scope", rule_is_label),
	NAME("of", is_approving),
	NUMBER("k", 1, MAX_PARTIES),
	END,
};

static const struct rule LAYER[] = { NAME("inner", rule_is_digest), NAME("diff_id", rule_is_digest),
	END };
static const struct rule ONE_LAYER = OBJECT("", LAYER);

static const struct rule IMAGE[] = {
	NAME("repository", is_repository),
	NAME("manifest", rule_is_digest),
	NAME("config", rule_is_digest),
	LIST("layers", 1, 127, &ONE_LAYER),
	END,
};

static const struct rule PROCESS[] = {
	LIST("argv", 1, 256, &ARGUMENT),
	MAP("env", 0, 128, is_env_name, &ARGUMENT),
	NAME("cwd", rule_is_path),
	END,
};

static const struct rule SLOT[] = {
	NAME("commitment", rule_is_digest),
	NAME("mode", is_mode),
	NAME("owner", rule_is_digest),
	END,
};
static const struct rule ONE_SLOT = OBJECT("", SLOT);

static const struct rule INPUT[] = {
	NAME("slot", is_input_slot),
	NAME("dataset", rule_is_dataset),
	NUMBER("version", 1, RULE_MAX),
	NAME("object", rule_is_object),
	NAME("file", is_file),
	NAME("digest", rule_is_digest),
	NUMBER("size", 0, RULE_MAX),
	END,
};
static const struct rule ONE_INPUT = OBJECT("", INPUT);

static const struct rule OUTPUT[] = { NAME("slot", is_output_slot), NAME("name", rule_is_label),
	END };

static const struct rule CONFIG_FILE[] = { NAME("path", rule_is_path),
	NAME("digest", rule_is_digest), END };
static const struct rule ONE_CONFIG_FILE = OBJECT("", CONFIG_FILE);

static const struct rule MEASUREMENTS[] = {
	NAME("encrypt-output", rule_is_digest),
	NAME("decrypt-input", rule_is_digest),
	NAME("decrypt-output", rule_is_digest),
	END,
};

static const struct rule EVIDENCE[] = { NAME("minimum", is_minimum), END };

static const struct rule EGRESS[] = { NAME("mode", is_egress), SET("domains", 0, 64, &DOMAIN),
	END };

static const struct rule LIMITS[] = {
	NUMBER("memory_bytes", 1 << 20, RULE_MAX),
	NUMBER("pids", 1, 32768),
	NUMBER("wall_seconds", 1, SECONDS_PER_WEEK),
	NUMBER("cpu_seconds", 1, 64LL * SECONDS_PER_WEEK),
	NUMBER("output_bytes", 0, RULE_MAX),
	NUMBER("output_files", 0, 1000000),
	END,
};

static const struct rule POLICY[] = {
	NAME("v", is_version),
	NAME("name", rule_is_label),
	NAME("space", rule_is_space),
	OBJECT("template", TEMPLATE),
	OBJECT("parties", PARTIES),
	OBJECT("approval", APPROVAL),
	OBJECT("image", IMAGE),
	OBJECT("process", PROCESS),
	MAP("slots", 2, MAX_INPUTS + 2, rule_is_slot, &ONE_SLOT),
	LIST("inputs", 0, MAX_INPUTS, &ONE_INPUT),
	OBJECT("output", OUTPUT),
	LIST("config_files", 0, 64, &ONE_CONFIG_FILE),
	MAP("ports", 0, 0, NULL, NULL), /* none are defined yet: nobody may rely on one */
	OBJECT("measurements", MEASUREMENTS),
	OBJECT("evidence", EVIDENCE),
	OBJECT("egress", EGRESS),
	OBJECT("limits", LIMITS),
	NUMBER("max_runs", 1, 1000000),
	NUMBER("deadline", 1, RULE_MAX),
	END,
};

/* --- what must fit together --- */

static int unfit(struct err *err, const char *pointer, const char *detail)
{
	err_set(err, ERR_INVALID, "policy.invalid", "policy: '%s' %s", pointer, detail);
	return err_field(err, pointer, "field.value", "%s", detail);
}

static int check_slots(const json_t *doc, struct err *err)
{
	const json_t *slots = json_object_get(doc, "slots"),
		     *inputs = json_object_get(doc, "inputs");
	json_t *input;
	size_t i;

	if (!json_object_get(slots, "image") || !json_object_get(slots, "output"))
		return unfit(err, "/slots", "must have the slots image and output");
	if (json_object_size(slots) != json_array_size(inputs) + 2)
		return unfit(err, "/slots", "must have one slot for each input and no other");
	json_array_foreach (inputs, i, input) {
		const char *slot = json_text(input, "slot");

		if (!json_object_get(slots, slot))
			return unfit(err, "/inputs", "names a slot that does not exist");
		for (size_t n = 0; n < i; n++)
			if (strcmp(json_text(json_array_get(inputs, n), "slot"), slot) == 0)
				return unfit(err, "/inputs", "names a slot twice");
	}
	return 0;
}

static int check_rules(const json_t *doc, struct err *err)
{
	const json_t *approval = json_object_get(doc, "approval"),
		     *egress = json_object_get(doc, "egress");
	const json_t *of =
		json_object_get(json_object_get(doc, "parties"), json_text(approval, "of"));

	if (json_integer_value(json_object_get(approval, "k")) > (json_int_t)json_array_size(of))
		return unfit(err, "/approval/k", "asks for more approvals than there are parties");
	if (strcmp(json_text(egress, "mode"), "none") == 0 &&
		json_array_size(json_object_get(egress, "domains")) > 0)
		return unfit(err, "/egress/domains", "must be empty in the mode none");
	return 0;
}

/* --- reading --- */

static void release_document(void *doc)
{
	json_decref(doc);
}

static void fill(json_t *doc, struct trust_policy *policy)
{
	const json_t *image = json_object_get(doc, "image"),
		     *template = json_object_get(doc, "template");

	policy->doc = doc;
	policy->name = json_text(doc, "name");
	policy->space = json_text(doc, "space");
	policy->repository = json_text(image, "repository");
	policy->manifest_digest = json_text(image, "manifest");
	policy->config_digest = json_text(image, "config");
	policy->template_id = json_text(template, "id");
	policy->template_version = json_integer_value(json_object_get(template, "version"));
	policy->max_runs = json_integer_value(json_object_get(doc, "max_runs"));
	policy->deadline = json_integer_value(json_object_get(doc, "deadline"));
}

int trust_policy_read(
	struct arena *arena, json_t *doc, struct trust_policy *ret_policy, struct err *err)
{
	struct trust_policy policy = { .doc = NULL };

	if (rule_check(POLICY, doc, "policy.invalid", "policy", err) < 0 ||
		check_slots(doc, err) < 0 || check_rules(doc, err) < 0 ||
		jcs_digest(doc, policy.hash, err) < 0)
		return -1;
	fill(doc, &policy);
	arena_defer(arena, release_document, json_incref(doc));
	*ret_policy = policy;
	return 0;
}

int trust_policy_parse(struct arena *arena, const char *text, size_t len,
	struct trust_policy *ret_policy, struct err *err)
{
	auto_json json_t *doc = json_parse(text, len, err);
	auto_free char *canonical = NULL;
	size_t canonical_len = 0;

	if (!doc || jcs_encode(doc, &canonical, &canonical_len, err) < 0)
		return -1;
	if (canonical_len != len || memcmp(canonical, text, len) != 0)
		return err_set(err, ERR_INVALID, "policy.not_canonical",
			"the policy's bytes are not its canonical form (RFC 8785)");
	return trust_policy_read(arena, doc, ret_policy, err);
}

bool trust_policy_names(const struct trust_policy *policy, const char *party, const char *spki)
{
	const json_t *list = json_object_get(json_object_get(policy->doc, "parties"), party);
	json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry) {
		if (strcmp(json_string_value(entry), spki) == 0)
			return true;
	}
	return false;
}

const json_t *trust_policy_slot(const struct trust_policy *policy, const char *slot)
{
	return json_object_get(json_object_get(policy->doc, "slots"), slot);
}
