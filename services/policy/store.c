/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls for policies, approvals and orders. */
#include "services/policy/store.h"

#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "proto/roles.h"
#include "services/policy/queries.h"
#include "services/policy/store_rows.h"
#include "services/policy/workflows.h"

const struct sql *const store_forgets[] = { &resource_forget, &SQL_WORKFLOW_EXPIRE, NULL };

static json_t *policy_row(const struct db_rows *rows, size_t i)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:I,s:s,s:s,s:s}", "id", db_text(rows, i, "id"),
		"tenant", db_text(rows, i, "tenant_id"), "space", db_text(rows, i, "space_id"),
		"name", db_text(rows, i, "name"), "version",
		(json_int_t)db_number(rows, i, "version"), "hash", db_text(rows, i, "hash"),
		"created_by", db_text(rows, i, "created_by"), "created_at",
		db_text(rows, i, "created_at"));
}

json_t *store_vote_words(const json_t *envelope)
{
	const char *text = json_text(json_object_get(envelope, "jws"), "payload");
	auto_free unsigned char *bytes = NULL;
	size_t len;

	if (!text || codec_b64url_decode(text, strlen(text), &bytes, &len, NULL) < 0)
		return NULL;
	return json_parse((const char *)bytes, len, NULL);
}

/* It lies in its policy's space, whose tenants read it. */
static int add_approval(struct db *db, const struct store_vote *vote, struct err *err)
{
	auto_free char *text = json_dumps(vote->envelope, JSON_COMPACT | JSON_SORT_KEYS);
	auto_json json_t *words = store_vote_words(vote->envelope);
	const char *spki = json_text(words, "spki"), *decision = json_text(words, "decision");
	char action[32];

	snprintf(action, sizeof(action), "policy.%s", decision);
	audit(db, &(const struct audit_act) { .action = action,
			  .on = vote->policy_id,
			  .detail = spki,
			  .space = vote->space });
	return db_exec(db, &SQL_APPROVAL_INSERT,
		DB_PARAMS(vote->tenant, vote->space, vote->policy_id, json_text(words, "scope"),
			spki, decision,
			DB_NUMBER(json_integer_value(json_object_get(words, "iat"))), text),
		NULL, err);
}

struct policy_work {
	struct web_req *req;
	struct store_policy *item;
};

/* A word on a policy that is there may stop runs which have not started: they are looked at again,
 * and none starts meanwhile. First of all locks. */
static int hold_starts(struct db *db, const char *policy_id, struct err *err)
{
	if (db_exec(db, &SQL_WITHDRAWAL_LOCK, DB_NO_PARAMS, NULL, err) < 0)
		return -1;
	return db_exec(db, &SQL_OUTBOX_INSERT, DB_PARAMS(STORE_ORDER_TOPIC, policy_id), NULL, err);
}

/* Finds the hash or inserts it; a deleted policy that comes again is alive again. */
static int find_or_insert(struct db *db, struct policy_work *work, struct err *err)
{
	const struct principal *who = work->req->principal;
	const struct trust_policy *policy = work->item->policy;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_POLICY_BY_HASH, DB_PARAMS(who->tenant, policy->hash), &rows, err) < 0)
		return -1;
	work->item->existed = db_count(rows) > 0;
	if (!work->item->existed)
		audit(db, &(const struct audit_act) { .action = "create",
				  .on = work->item->id,
				  .detail = policy->hash,
				  .space = policy->space });
	if (!work->item->existed)
		return db_exec(db, &SQL_POLICY_INSERT,
			DB_PARAMS(who->tenant, policy->space, work->item->id, policy->name,
				policy->hash, work->item->canonical, who->subject),
			NULL, err);
	snprintf(work->item->id, sizeof(work->item->id), "%s", db_text(rows, 0, "id"));
	if (hold_starts(db, work->item->id, err) < 0 ||
		db_exec(db, &SQL_POLICY_LOCK, DB_PARAMS(who->tenant, work->item->id), NULL, err) <
			0)
		return -1;
	return db_exec(db, &SQL_POLICY_REVIVE, DB_PARAMS(who->tenant, work->item->id), NULL, err);
}

/* Its scoped policies as they are now: they go on standing beside it when they change, and in its
 * own row for whoever reads it. */
static int add_constraints(struct db *db, const struct policy_work *work, struct err *err)
{
	const struct store_policy *item = work->item;
	json_t *text;
	size_t i;

	json_array_foreach (item->constraints, i, text) {
		char hash[DIGEST_TEXT_SIZE];

		digest_text(json_string_value(text), json_string_length(text), hash);
		if (db_exec(db, &SQL_POLICY_CONSTRAINT_INSERT,
			    DB_PARAMS(work->req->principal->tenant, item->policy->space, item->id,
				    hash, json_string_value(text)),
			    NULL, err) < 0)
			return -1;
	}
	if (json_array_size(item->constraints) == 0)
		return 0;
	return db_exec(db, &SQL_POLICY_JOIN_CONSTRAINTS,
		DB_PARAMS(work->req->principal->tenant, item->id), NULL, err);
}

static int policy_work(struct db *db, void *arg, struct err *err)
{
	struct policy_work *work = arg;
	const char *tenant = work->req->principal->tenant;
	json_t *envelope;
	size_t i;

	if (find_or_insert(db, work, err) < 0)
		return -1;
	json_array_foreach (work->item->approvals, i, envelope) {
		const struct store_vote vote = { tenant, work->item->id, work->item->policy->space,
			envelope };

		if (add_approval(db, &vote, err) < 0)
			return -1;
	}
	if (!work->item->existed && add_constraints(db, work, err) < 0)
		return -1;
	return workflow_settle(db, tenant, work->item->id, err);
}

int store_policy_add(struct web_req *req, struct store_policy *item, struct err *err)
{
	struct policy_work work = { req, item };
	char fresh[ID_SIZE];

	memcpy(fresh, item->id, sizeof(fresh));
	if (db_tx(req->worker->db, DB_TENANT(req->principal->tenant), policy_work, &work, err) == 0)
		return 0;
	if (strcmp(err->code, "db.unique") != 0)
		return -1;
	memcpy(item->id, fresh, sizeof(fresh)); /* a twin came first: find it */
	err_clear(err);
	return db_tx(req->worker->db, DB_TENANT(req->principal->tenant), policy_work, &work, err);
}

static char *append(char *at, const char *text, size_t len)
{
	return (char *)memcpy(at, text, len) + len;
}

/* The stored texts go out as they are, behind the record's own members. */
static void add_texts(struct web_req *req, struct web_res *res, const struct db_rows *rows)
{
	const char *const parts[] = { ",\"document\":", db_text(rows, 0, "document"),
		",\"approvals\":[", db_text(rows, 0, "approvals"), "],\"constraints\":[",
		db_text(rows, 0, "constraints"), "]}" };
	auto_json json_t *record = take_ptr(res->json);
	size_t lens[ARRAY_LEN(parts)], len;
	auto_free char *head = json_encode(record, &len);
	char *text, *at;

	res->text_len = len - 1; /* without its brace */
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		res->text_len += lens[i] = strlen(parts[i]);
	text = arena_alloc(req->arena, res->text_len + 1);
	at = append(text, head, len - 1);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		at = append(at, parts[i], lens[i]);
	*at = '\0';
	res->text = text;
	res->content_type = "application/json";
}

static int policy_answer(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	if (store_row_answer(req, res, rows, &policy_kind, err) < 0)
		return -1;
	add_texts(req, res, rows);
	return 0;
}

const struct record_kind policy_kind = {
	.name = "policy",
	.path = "/v1/policies",
	.roles = ROLES_WORK,
	.in_use = "a pipeline stands on this policy",
	.encode = policy_row,
	.read = { .sql = &SQL_POLICY_FULL,
		.several = &SQL_POLICY_FULL_SEVERAL,
		.answer = policy_answer,
		.shared = true },
	.remove = &SQL_POLICY_DELETE,
};

int store_policy_text(
	struct web_req *req, const char *id, const char **ret_canonical, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), &SQL_POLICY_BY_ID, DB_PARAMS(tenant, id),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "policy.not_found", "there is no such policy");
	*ret_canonical = db_text_in(rows, 0, "document", req->arena);
	return 0;
}

/* The caller's own, or one of his spaces. */
static int find_full(
	struct web_req *req, const char *id, struct db_rows **ret_rows, struct err *err)
{
	const struct principal *who = req->principal;

	if (db_run(req->worker->db, DB_SPACES(who->tenant, who->spaces), &SQL_POLICY_FULL,
		    DB_PARAMS(who->tenant, id), ret_rows, err) < 0)
		return -1;
	if (db_count(*ret_rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "policy.not_found", "there is no such policy");
	return 0;
}

/* Of a column in which documents lie joined. */
static json_t *documents(const struct db_rows *rows, const char *column)
{
	auto_free char *list = mem_printf("[%s]", db_text(rows, 0, column));

	return json_loads(list, 0, NULL);
}

int store_policy_papers(struct web_req *req, const char *id, const char **ret_canonical,
	json_t **ret_approvals, json_t **ret_constraints, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (find_full(req, id, &rows, err) < 0)
		return -1;
	*ret_canonical = db_text_in(rows, 0, "document", req->arena);
	*ret_approvals = documents(rows, "approvals");
	*ret_constraints = documents(rows, "constraints");
	return 0;
}

static int list_of_image(struct web_req *req, const struct page *page, const char *image,
	const char *space, struct db_rows **ret_rows, struct err *err)
{
	const struct principal *who = req->principal;

	return db_run(req->worker->db, DB_SPACES(who->tenant, who->spaces),
		&SQL_POLICY_LIST_OF_IMAGE,
		DB_PARAMS(who->tenant, page->before, page->limit, image, space), ret_rows, err);
}

static int list_of_all(struct web_req *req, const struct page *page, const char *space,
	struct db_rows **ret_rows, struct err *err)
{
	const struct principal *who = req->principal;

	return db_run(req->worker->db, DB_SPACES(who->tenant, who->spaces),
		space ? &SQL_POLICY_LIST_OF_SPACE : &SQL_POLICY_LIST,
		DB_PARAMS(who->tenant, page->before, page->limit, space ? space : who->spaces),
		ret_rows, err);
}

int store_policy_list(struct web_req *req, const struct page *page, const char *space,
	const char *image, json_t **ret_list, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if ((image ? list_of_image(req, page, image, space, &rows, err)
		   : list_of_all(req, page, space, &rows, err)) < 0)
		return -1;
	*ret_list = resource_list(rows, page, policy_row);
	return 0;
}

int store_policy_seen(struct web_req *req, const char *id, const char **ret_tenant,
	const char **ret_canonical, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (find_full(req, id, &rows, err) < 0)
		return -1;
	*ret_tenant = db_text_in(rows, 0, "tenant_id", req->arena);
	*ret_canonical = db_text_in(rows, 0, "document", req->arena);
	return 0;
}

/* The policy's row first: whoever requests its approval meanwhile waits here. */
static int approve_work(struct db *db, void *arg, struct err *err)
{
	const struct store_vote *vote = arg;

	if (hold_starts(db, vote->policy_id, err) < 0 ||
		db_exec(db, &SQL_POLICY_TOUCH, DB_PARAMS(vote->tenant, vote->policy_id), NULL,
			err) < 0 ||
		workflow_may_vote(db, vote, err) < 0 || add_approval(db, vote, err) < 0)
		return -1;
	return workflow_settle(db, vote->tenant, vote->policy_id, err);
}

int store_approval_add(struct web_req *req, const struct store_vote *vote, struct err *err)
{
	return db_tx(req->worker->db, DB_TENANT(vote->tenant), approve_work, (void *)vote, err);
}
