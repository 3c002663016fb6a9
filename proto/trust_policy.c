/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy document: its shape (trust_policy_shape.c), then what a table cannot say: slots,
 * inputs, outputs, parties and egress must fit together. Its hash is taken over the canonical bytes
 * only after all of it was checked.
 */
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/app_config.h"
#include "proto/trust_secret.h"
#include "proto/trust_shape.h"

/* --- what must fit together --- */

static int unfit(struct err *err, const char *pointer, const char *detail)
{
	err_set(err, ERR_INVALID, "policy.invalid", "policy: '%s' %s", pointer, detail);
	return err_field(err, pointer, "field.value", "%s", detail);
}

/* Of what lies elsewhere: the slot is the port's and the name's, and who reads an output was named
 * as a recipient: nobody becomes one by an entry that only its own owner approves. */
static int check_located(const json_t *doc, const json_t *entry, const char *list, struct err *err)
{
	auto_free char *slot =
		mem_printf("credentials/%s/%s", json_text(entry, "port"), json_text(entry, "name"));
	const json_t *recipients = json_object_get(json_object_get(doc, "parties"), "recipients");
	const char *owner = json_text(
		json_object_get(json_object_get(doc, "slots"), json_text(entry, "slot")), "owner");

	if (strcmp(slot, json_text(entry, "slot")) != 0)
		return unfit(err, list, "has a slot of another port or name");
	if (strcmp(list, "/outputs") == 0 && !json_list_has(recipients, owner))
		return unfit(err, "/outputs", "has a slot whose owner is no recipient");
	return 0;
}

static int check_entries(const json_t *doc, const char *list, json_t *seen, struct err *err)
{
	const json_t *slots = json_object_get(doc, "slots");
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(doc, list + 1), i, entry) {
		const char *slot = json_text(entry, "slot");

		if (!json_object_get(slots, slot))
			return unfit(err, list, "names a slot that does not exist");
		if (json_object_get(seen, slot))
			return unfit(err, list, "names a slot twice");
		if (json_object_get(entry, "location") && check_located(doc, entry, list, err) < 0)
			return -1;
		json_object_set_new(seen, slot, json_true());
	}
	return 0;
}

static int check_slots(const json_t *doc, struct err *err)
{
	const json_t *slots = json_object_get(doc, "slots");
	auto_json json_t *seen = json_pack("{s:b,s:b}", "image", 1, "output", 1);

	if (!json_object_get(slots, "image") || !json_object_get(slots, "output"))
		return unfit(err, "/slots", "must have the slots image and output");
	if (check_entries(doc, "/inputs", seen, err) < 0 ||
		check_entries(doc, "/outputs", seen, err) < 0)
		return -1;
	if (json_object_size(slots) != json_object_size(seen))
		return unfit(
			err, "/slots", "must have one slot for each input and output and no other");
	return 0;
}

static int check_rules(const json_t *doc, struct err *err)
{
	auto_json json_t *scopes = json_object();
	json_t *rule;
	size_t i, n_keys = 0;

	json_array_foreach (trust_policy_rules(doc), i, rule) {
		const char *scope = json_text(rule, "scope");
		const json_t *keys = trust_rule_keys(doc, rule);

		n_keys += json_array_size(keys);
		if (json_integer_value(json_object_get(rule, "k")) >
			(json_int_t)json_array_size(keys))
			return unfit(err, "/approval/rules",
				"asks for more approvals than there are keys");
		if (json_object_get(scopes, scope))
			return unfit(err, "/approval/rules", "has two rules of one scope");
		json_object_set_new(scopes, scope, json_true());
	}
	if (n_keys > TRUST_MAX_APPROVALS)
		return unfit(err, "/approval/rules", "name more keys than may be heard");
	return 0;
}

/* Whether the endpoint is the host and port of one of the entries' locations. */
static bool is_located(const json_t *entries, const char *endpoint)
{
	json_t *entry;
	size_t i;

	json_array_foreach (entries, i, entry) {
		char *own = trust_location_endpoint(entry);
		bool same = own && strcmp(own, endpoint) == 0;

		free(own);
		if (same)
			return true;
	}
	return false;
}

bool trust_has_location(const json_t *entries)
{
	json_t *entry;
	size_t i;

	json_array_foreach (entries, i, entry) {
		if (json_object_get(entry, "location"))
			return true;
	}
	return false;
}

static int check_egress(const json_t *doc, struct err *err)
{
	const json_t *egress = json_object_get(doc, "egress"),
		     *domains = json_object_get(egress, "domains"),
		     *inputs = json_object_get(doc, "inputs"),
		     *outputs = json_object_get(doc, "outputs");
	const char *mode = json_text(egress, "mode");
	json_t *domain;
	size_t i;

	if (strcmp(mode, "none") == 0 && json_array_size(domains) > 0)
		return unfit(err, "/egress/domains", "must be empty in the mode none");
	if (strcmp(mode, "none") == 0 &&
		(trust_has_location(inputs) || trust_has_location(outputs)))
		return unfit(err, "/egress/mode", "must not be none where there are locations");
	json_array_foreach (domains, i, domain) {
		if (strcmp(mode, "managed") == 0 &&
			!is_located(inputs, json_string_value(domain)) &&
			!is_located(outputs, json_string_value(domain)))
			return unfit(err, "/egress/domains",
				"may name only hosts of locations in the mode managed");
	}
	return 0;
}

static int check_app(const json_t *app, struct err *err)
{
	const json_t *runtime = json_object_get(app, "runtime");
	char id[APP_CONFIG_ID_SIZE];

	if (!app || json_is_null(app))
		return 0;
	if (app_config_check(runtime, err) < 0 || app_config_id(runtime, id, err) < 0)
		return -1;
	if (strcmp(id, json_text(app, "app_config_id")) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "app_config.mismatch",
			"the runtime's APPCONFIG_ID is %.16s…, the policy says %.16s…", id,
			json_text(app, "app_config_id"));
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

	if (rule_check(trust_policy_shape, doc, "policy.invalid", "policy", err) < 0 ||
		check_slots(doc, err) < 0 || check_rules(doc, err) < 0 ||
		check_egress(doc, err) < 0 || check_app(json_object_get(doc, "app"), err) < 0 ||
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
	auto_json json_t *doc = NULL;

	if (jcs_parse(text, len, "policy.not_canonical", "policy", &doc, err) < 0)
		return -1;
	return trust_policy_read(arena, doc, ret_policy, err);
}

bool trust_policy_names(const struct trust_policy *policy, const char *party, const char *spki)
{
	return json_list_has(json_object_get(json_object_get(policy->doc, "parties"), party), spki);
}

const json_t *trust_policy_slot(const struct trust_policy *policy, const char *slot)
{
	return json_object_get(json_object_get(policy->doc, "slots"), slot);
}

const json_t *trust_policy_rules(const json_t *doc)
{
	return json_object_get(json_object_get(doc, "approval"), "rules");
}

const json_t *trust_policy_rule(const json_t *doc, const char *scope)
{
	json_t *rule;
	size_t i;

	json_array_foreach (trust_policy_rules(doc), i, rule) {
		if (json_text_is(rule, "scope", scope))
			return rule;
	}
	return NULL;
}

const json_t *trust_rule_keys(const json_t *doc, const json_t *rule)
{
	const json_t *of = json_object_get(rule, "of");

	return json_is_array(of)
		       ? of
		       : json_object_get(json_object_get(doc, "parties"), json_string_value(of));
}

char *trust_location_endpoint(const json_t *entry)
{
	static const char scheme[] = "https://";
	const char *url = json_text(json_object_get(entry, "location"), "url"), *host;
	size_t len;

	if (!url || strncmp(url, scheme, sizeof(scheme) - 1) != 0)
		return NULL;
	host = url + sizeof(scheme) - 1;
	len = strcspn(host, "/");
	return mem_printf(memchr(host, ':', len) ? "%.*s" : "%.*s:443", (int)len, host);
}

bool trust_policy_reaches(const struct trust_policy *policy, const char *endpoint)
{
	const json_t *egress = json_object_get(policy->doc, "egress");
	json_t *domain;
	size_t i;

	if (json_text_is(egress, "mode", "none"))
		return false;
	json_array_foreach (json_object_get(egress, "domains"), i, domain) {
		if (strcmp(json_string_value(domain), endpoint) == 0)
			return true;
	}
	return is_located(json_object_get(policy->doc, "inputs"), endpoint) ||
	       is_located(json_object_get(policy->doc, "outputs"), endpoint);
}
