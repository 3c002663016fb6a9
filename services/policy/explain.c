/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dry runs. The evaluation is proto's (trust_policy_explain()), the very one by which the agent
 * decides; what the evidence says of itself is taken as said: its proof is the client's and the
 * agent's to check.
 */
#include "services/policy/explain.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/policy/store.h"

#define MAX_CONSTRAINTS 32
#define MAX_INPUTS 64
#define MAX_APPROVALS 128

struct explain_body {
	json_t *policy, *constraints, *evidence, *inputs, *approvals;
};

static const struct json_field document_fields[] = {
	{ "policy", JSON_FIELD_OBJECT, offsetof(struct explain_body, policy), true, 0 },
	{ "constraints", JSON_FIELD_ARRAY, offsetof(struct explain_body, constraints), false,
		MAX_CONSTRAINTS },
	{ "evidence", JSON_FIELD_OBJECT, offsetof(struct explain_body, evidence), false, 0 },
	{ "inputs", JSON_FIELD_ARRAY, offsetof(struct explain_body, inputs), false, MAX_INPUTS },
	{ "approvals", JSON_FIELD_ARRAY, offsetof(struct explain_body, approvals), false,
		MAX_APPROVALS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static const struct json_field stored_fields[] = {
	{ "evidence", JSON_FIELD_OBJECT, offsetof(struct explain_body, evidence), false, 0 },
	{ "inputs", JSON_FIELD_ARRAY, offsetof(struct explain_body, inputs), false, MAX_INPUTS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static struct trust_facts facts_of(const struct explain_body *body)
{
	const json_t *template =
		json_object_get(json_object_get(body->evidence, "initdata"), "template");

	return (struct trust_facts) { .now = clock_unix_ms() / 1000,
		.class = json_text(body->evidence, "class"),
		.template_id = json_text(template, "id"),
		.template_version = json_integer_value(json_object_get(template, "version")),
		.inputs = body->inputs,
		.approvals = body->approvals };
}

/* What applies and is not pinned: the service would refuse such a policy. */
static void add_left_out(json_t *explanation, const json_t *left_out)
{
	json_t *entry;
	size_t i;

	json_array_foreach (left_out, i, entry) {
		json_array_append_new(json_object_get(explanation, "clauses"),
			json_pack("{s:o,s:O,s:s,s:s,s:s}", "clause",
				json_sprintf("%s %s: pinned", json_text(entry, "scope"),
					json_text(entry, "subject")),
				"expected", json_object_get(entry, "hash"), "actual", "not pinned",
				"result", "fail", "code", "constraint.left_out"));
		if (!json_text_is(explanation, "result", "fail")) {
			json_object_set_new(explanation, "result", json_string("fail"));
			json_object_set_new(
				explanation, "failed", json_string("constraint.left_out"));
		}
	}
}

json_t *explain_validated(const struct trust_policy *policy, const json_t *approvals,
	const struct constraints *constraints)
{
	const struct trust_facts facts = { .now = clock_unix_ms() / 1000,
		.approvals = approvals,
		.constraints = constraints->texts };
	json_t *explanation = trust_policy_explain(policy, &facts);

	add_left_out(explanation, constraints->left_out);
	return explanation;
}

/* Documents as the canonical texts that pins are over. */
static int texts_of(const json_t *documents, json_t **ret_texts, struct err *err)
{
	auto_json json_t *texts = json_array();
	json_t *document;
	size_t i;

	json_array_foreach (documents, i, document) {
		auto_free char *text = NULL;
		size_t len;

		if (jcs_encode(document, &text, &len, err) < 0)
			return -1;
		json_array_append_new(texts, json_stringn(text, len));
	}
	*ret_texts = take_ptr(texts);
	return 0;
}

/* --- POST /v1/policies:explain --- */

int explain_document(struct web_req *req, struct web_res *res, struct err *err)
{
	struct explain_body body = { 0 };
	auto_constraints applicable = { 0 };
	auto_json json_t *given = NULL;
	struct trust_policy policy;
	struct trust_facts facts;

	if (json_decode(req->arena, req->json, document_fields, &body, err) < 0 ||
		trust_policy_read(req->arena, body.policy, &policy, err) < 0 ||
		constraints_of(req, &policy, &applicable, err) < 0 ||
		texts_of(body.constraints, &given, err) < 0)
		return -1;
	facts = facts_of(&body);
	facts.constraints = body.constraints ? given : applicable.texts;
	res->json = trust_policy_explain(&policy, &facts);
	add_left_out(res->json, applicable.left_out);
	return 0;
}

/* --- of a stored one --- */

int explain_policy(struct web_req *req, struct web_res *res, struct err *err)
{
	struct explain_body body = { 0 };
	auto_json json_t *approvals = NULL, *constraints = NULL, *texts = NULL;
	struct trust_policy policy;
	struct trust_facts facts;
	const char *canonical;

	if (json_decode(req->arena, req->json, stored_fields, &body, err) < 0 ||
		store_policy_papers(req, web_param(req, "policy_id"), &canonical, &approvals,
			&constraints, err) < 0 ||
		trust_policy_parse(req->arena, canonical, strlen(canonical), &policy, err) < 0 ||
		texts_of(constraints, &texts, err) < 0)
		return -1;
	body.approvals = approvals;
	facts = facts_of(&body);
	facts.constraints = texts;
	res->json = trust_policy_explain(&policy, &facts);
	return 0;
}

static int find(
	struct web_req *req, const char *id, struct trust_policy *ret_policy, struct err *err)
{
	const char *tenant, *canonical;

	if (store_policy_seen(req, id, &tenant, &canonical, err) < 0)
		return -1;
	return trust_policy_parse(req->arena, canonical, strlen(canonical), ret_policy, err);
}

int explain_diff(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *with = web_query(req, "with");
	struct trust_policy from, to;

	if (find(req, web_param(req, "policy_id"), &from, err) < 0)
		return -1;
	if (!with)
		return err_set(err, ERR_INVALID, "policy.no_other",
			"with=<pol_ id> says which policy is the other one");
	if (find(req, with, &to, err) < 0)
		return -1;
	res->json = json_pack("{s:s,s:s,s:o}", "from", from.hash, "to", to.hash, "changes",
		trust_policy_diff(&from, &to));
	return 0;
}

int explain_schema(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)req;
	(void)err;
	res->json = trust_policy_schema();
	return 0;
}
