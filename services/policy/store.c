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
#include "services/policy/queries.h"
#include "services/policy/store_rows.h"

const struct sql *const store_forgets[] = { &resource_forget, NULL };

static json_t *policy_row(const struct db_rows *rows, size_t i)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:I,s:s,s:s,s:s}", "id", db_text(rows, i, "id"),
		"tenant", db_text(rows, i, "tenant_id"), "space", db_text(rows, i, "space_id"),
		"name", db_text(rows, i, "name"), "version",
		(json_int_t)db_number(rows, i, "version"), "hash", db_text(rows, i, "hash"),
		"created_by", db_text(rows, i, "created_by"), "created_at",
		db_text(rows, i, "created_at"));
}

/* The digest of the key in an envelope, which is its row's key: a signer's later word replaces the
 * earlier one. */
static int signer_of(const json_t *envelope, char ret_spki[DIGEST_TEXT_SIZE], struct err *err)
{
	const char *text = json_text(envelope, "spki");
	auto_free unsigned char *der = NULL;
	size_t len;

	if (codec_b64_decode(text, strlen(text), &der, &len, err) < 0)
		return -1;
	digest_text(der, len, ret_spki);
	return 0;
}

struct approval_work {
	const char *tenant, *policy_id, *space;
	const json_t *envelope;
};

/* It lies in its policy's space, whose tenants read it. */
static int add_approval(struct db *db, const struct approval_work *work, struct err *err)
{
	const json_t *envelope = work->envelope;
	auto_free char *text = json_dumps(envelope, JSON_COMPACT | JSON_SORT_KEYS);
	char spki[DIGEST_TEXT_SIZE];

	if (signer_of(envelope, spki, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "policy.approve",
			  .on = work->policy_id,
			  .detail = spki,
			  .space = work->space });
	return db_exec(db, &SQL_APPROVAL_INSERT,
		DB_PARAMS(work->tenant, work->space, work->policy_id, spki, text), NULL, err);
}

struct policy_work {
	struct web_req *req;
	struct store_policy *item;
};

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
	return db_exec(db, &SQL_POLICY_REVIVE, DB_PARAMS(who->tenant, work->item->id), NULL, err);
}

static int policy_work(struct db *db, void *arg, struct err *err)
{
	struct policy_work *work = arg;
	json_t *envelope;
	size_t i;

	if (find_or_insert(db, work, err) < 0)
		return -1;
	json_array_foreach (work->item->approvals, i, envelope) {
		const struct approval_work approval = { work->req->principal->tenant,
			work->item->id, work->item->policy->space, envelope };

		if (add_approval(db, &approval, err) < 0)
			return -1;
	}
	return 0;
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

static const struct store_thing policy_thing = { "policy", "/v1/policies", policy_row };

static char *append(char *at, const char *text, size_t len)
{
	return (char *)memcpy(at, text, len) + len;
}

/* The stored texts go out as they are, behind the record's own members. */
static void add_texts(struct web_req *req, struct web_res *res, const struct db_rows *rows)
{
	static const char name[] = ",\"document\":", names[] = ",\"approvals\":[";
	const char *document = db_text(rows, 0, "document"),
		   *approvals = db_text(rows, 0, "approvals");
	size_t document_len = strlen(document), approvals_len = strlen(approvals), head_len;
	auto_json json_t *record = take_ptr(res->json);
	auto_free char *head = json_encode(record, &head_len);
	char *text = arena_alloc(req->arena,
		     head_len + document_len + approvals_len + sizeof(name) + sizeof(names)),
	     *at = append(text, head, head_len - 1);

	at = append(at, name, sizeof(name) - 1);
	at = append(at, document, document_len);
	at = append(at, names, sizeof(names) - 1);
	at = append(at, approvals, approvals_len);
	at = append(at, "]}", 2);
	res->text = text;
	res->text_len = (size_t)(at - text);
	res->content_type = "application/json";
}

static int policy_answer(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	if (store_row_answer(req, res, rows, &policy_thing, err) < 0)
		return -1;
	add_texts(req, res, rows);
	return 0;
}

const struct web_read store_policy_read = {
	.sql = &SQL_POLICY_FULL, .answer = policy_answer, .shared = true
};

int store_policy_get(struct web_req *req, const char *id, json_t **ret_record,
	long long *ret_revision, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (store_row_get(
		    req, req->principal->tenant, &SQL_POLICY_BY_ID, id, "policy", &rows, err) < 0)
		return -1;
	*ret_revision = db_number(rows, 0, "revision");
	*ret_record = policy_row(rows, 0);
	return 0;
}

int store_policy_text(
	struct web_req *req, const char *id, const char **ret_canonical, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (store_row_get(
		    req, req->principal->tenant, &SQL_POLICY_BY_ID, id, "policy", &rows, err) < 0)
		return -1;
	*ret_canonical = db_text_in(rows, 0, "document", req->arena);
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

int store_policy_delete(struct web_req *req, const char *id, long long revision, struct err *err)
{
	return store_row_delete(req, &SQL_POLICY_DELETE, id, revision, "policy.in_use",
		"a pipeline stands on this policy, or it was changed meanwhile", err);
}

static int approve_work(struct db *db, void *arg, struct err *err)
{
	const struct approval_work *work = arg;

	if (add_approval(db, work, err) < 0)
		return -1;
	return db_exec(db, &SQL_POLICY_TOUCH, DB_PARAMS(work->tenant, work->policy_id), NULL, err);
}

int store_approval_add(struct web_req *req, const char *policy_id, const char *space,
	const json_t *envelope, struct err *err)
{
	struct approval_work work = { req->principal->tenant, policy_id, space, envelope };

	return db_tx(req->worker->db, DB_TENANT(work.tenant), approve_work, &work, err);
}
