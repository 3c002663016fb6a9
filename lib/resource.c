/* SPDX-License-Identifier: Apache-2.0 */
/* ETags, pages and idempotency of resource.h. The SQL runs in the calling service's schema. */
#include "lib/resource.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 200
#define KEY_MAX_BYTES 128

static const struct sql SQL_FIND = { "lib_idempotency_find",
	"SELECT digest, resource_id FROM idempotency WHERE tenant_id = $1 AND key = $2", 2 };
static const struct sql SQL_ADD = { "lib_idempotency_add",
	"INSERT INTO idempotency (tenant_id, space_id, key, digest, resource_id)"
	" VALUES ($1, $2, $3, $4, $5)",
	5 };

const struct sql resource_forget = { "lib_idempotency_forget",
	"DELETE FROM idempotency WHERE created_at < now() - interval '24 hours'", 0 };

static const char *etag_text(const struct web_req *req, long long revision)
{
	return arena_printf(req->arena, "\"r%lld\"", revision);
}

void resource_etag(struct web_req *req, struct web_res *res, long long revision)
{
	const char *etag = etag_text(req, revision);

	web_header_add(res, "ETag", etag);
	if (json_is_object(res->json))
		json_object_set_new(res->json, "etag", json_string(etag));
}

int resource_if_match(const struct web_req *req, long long revision, struct err *err)
{
	const char *wanted = web_header(req, "If-Match");

	if (!wanted)
		return err_set(err, ERR_PRECONDITION_REQUIRED, "resource.if_match_missing",
			"this call needs an If-Match header with the resource's etag");
	if (strcmp(wanted, "*") != 0 && strcmp(wanted, etag_text(req, revision)) != 0)
		return err_set(err, ERR_PRECONDITION_FAILED, "resource.changed",
			"the resource is now at %s", etag_text(req, revision));
	return 0;
}

bool resource_unchanged(const struct web_req *req, long long revision)
{
	const char *known = web_header(req, "If-None-Match");

	return known && strcmp(known, etag_text(req, revision)) == 0;
}

/* Postgres takes no text that is not UTF-8. */
static bool is_plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return true;
}

static int page_size(const struct web_req *req, size_t *ret_size, struct err *err)
{
	const char *text = web_query(req, "page_size");
	char *end;
	long value;

	*ret_size = PAGE_DEFAULT;
	if (!text)
		return 0;
	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < 1)
		return err_set(
			err, ERR_INVALID, "page.bad_size", "page_size must be 1 to %d", PAGE_MAX);
	*ret_size = value > PAGE_MAX ? PAGE_MAX : (size_t)value;
	return 0;
}

int resource_page(const struct web_req *req, struct page *ret_page, struct err *err)
{
	const char *token = web_query(req, "page_token");
	auto_free unsigned char *id = NULL;
	struct page page = { .before = "~" };
	size_t len;

	if (page_size(req, &page.size, err) < 0)
		return -1;
	if (token && *token) {
		if (codec_b64url_decode(token, strlen(token), &id, &len, NULL) < 0 ||
			len >= ID_SIZE || !is_plain((const char *)id, len))
			return err_set(err, ERR_INVALID, "page.bad_token",
				"page_token is not one that a list gave out");
		page.before = arena_strndup(req->arena, (const char *)id, len);
	}
	page.limit = arena_printf(req->arena, "%zu", page.size + 1);
	*ret_page = page;
	return 0;
}

json_t *resource_page_token(const char *id)
{
	auto_free char *token = codec_b64url_text(id, strlen(id));

	return json_string(token);
}

json_t *resource_list(const struct db_rows *rows, const struct page *page, resource_row *encode)
{
	json_t *list = json_object(), *items = json_array();
	bool more = db_count(rows) > page->size;
	size_t shown = more ? page->size : db_count(rows);

	for (size_t i = 0; i < shown; i++) {
		json_t *item = encode(rows, i);

		json_object_set_new(
			item, "etag", json_sprintf("\"r%lld\"", db_number(rows, i, "revision")));
		json_array_append_new(items, item);
	}
	json_object_set_new(list, "items", items);
	json_object_set_new(list, "next_page_token",
		more ? resource_page_token(db_text(rows, shown - 1, "id")) : json_null());
	return list;
}

/* The caller and the key, without the quotes that the draft's structured field has; NULL without
 * the header, and without JSON (EST has a rule of its own for what is asked again). So nobody meets
 * the keys of others of the tenant, neither by chance nor to be there first. */
static int idempotency_key(const struct web_req *req, const char **ret_key, struct err *err)
{
	const char *key = web_header(req, "Idempotency-Key");
	size_t len = key ? strlen(key) : 0;

	*ret_key = NULL;
	if (!key || !req->json)
		return 0;
	if (len >= 2 && key[0] == '"' && key[len - 1] == '"') {
		key = arena_strndup(req->arena, key + 1, len - 2);
		len -= 2;
	}
	if (len == 0 || len > KEY_MAX_BYTES || !is_plain(key, len))
		return err_set(err, ERR_INVALID, "idempotency.bad_key",
			"Idempotency-Key must have 1 to %d printable characters", KEY_MAX_BYTES);
	*ret_key = arena_printf(req->arena, "%s %s", req->principal->subject, key);
	return 0;
}

/* Of what is asked for: method and path, then the canonical body. */
static int request_digest(const struct web_req *req, const char *route,
	char ret_digest[DIGEST_TEXT_SIZE], struct err *err)
{
	struct digest_stream *stream;
	auto_free char *body = NULL;
	size_t len;

	if (jcs_encode(req->json, &body, &len, err) < 0)
		return -1;
	stream = digest_stream_new();
	digest_stream_add(stream, route, strlen(route) + 1);
	digest_stream_add(stream, body, len);
	digest_stream_finish_text(stream, ret_digest);
	digest_stream_free(stream);
	return 0;
}

int resource_replayed(struct web_req *req, struct web_res *res, const char *route,
	const char **ret_id, struct err *err)
{
	const char *tenant = req->principal->tenant, *key;
	auto_rows struct db_rows *rows = NULL;
	char digest[DIGEST_TEXT_SIZE];

	*ret_id = NULL;
	if (idempotency_key(req, &key, err) < 0)
		return -1;
	if (!key)
		return 0;
	if (request_digest(req, route, digest, err) < 0 ||
		db_run(req->worker->db, DB_TENANT(tenant), &SQL_FIND, DB_PARAMS(tenant, key), &rows,
			err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return 0;
	if (strcmp(db_text(rows, 0, "digest"), digest) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "idempotency.mismatch",
			"this Idempotency-Key came with another request before");
	*ret_id = db_text_in(rows, 0, "resource_id", req->arena);
	web_header_add(res, "Idempotent-Replayed", "true");
	return 0;
}

int resource_remember(struct db *db, const struct web_req *req, const char *route, const char *id,
	struct err *err)
{
	const struct principal *who = req->principal;
	char digest[DIGEST_TEXT_SIZE];
	const char *key;

	if (idempotency_key(req, &key, err) < 0)
		return -1;
	if (!key)
		return 0;
	if (request_digest(req, route, digest, err) < 0)
		return -1;
	if (db_exec(db, &SQL_ADD, DB_PARAMS(who->tenant, who->space, key, digest, id), NULL, err) ==
		0)
		return 0;
	if (strcmp(err->code, "db.unique") == 0)
		return err_set(err, ERR_CONFLICT, "idempotency.in_progress",
			"another request with this Idempotency-Key is being served: ask again");
	return -1;
}
