/* SPDX-License-Identifier: Apache-2.0 */
/* Datasets: the body, the row, the lists. */
#include "services/policy/datasets.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/service.h"
#include "proto/credentials.h"
#include "proto/roles.h"
#include "services/policy/labels.h"
#include "services/policy/name.h"
#include "services/policy/projections.h"
#include "services/policy/queries.h"
#include "services/policy/store_rows.h"

struct dataset_body {
	const char *direction, *name, *description, *long_description, *projection, *digest;
	json_t *labels, *location, *credentials;
};

#define FIELD(name, kind, required, max)                                                           \
	{                                                                                          \
#name, kind, offsetof(struct dataset_body, name), required, max                    \
	}

/* An update has all but the first two. */
static const struct json_field fields[] = {
	FIELD(direction, JSON_FIELD_TEXT, true, 6),
	FIELD(credentials, JSON_FIELD_OBJECT, false, 8),
	FIELD(name, JSON_FIELD_TEXT, true, 63),
	FIELD(description, JSON_FIELD_TEXT, false, DATASET_DESCRIPTION_MAX),
	FIELD(long_description, JSON_FIELD_TEXT, false, DATASET_LONG_DESCRIPTION_MAX),
	FIELD(projection, JSON_FIELD_TEXT, false, ID_SIZE),
	FIELD(labels, JSON_FIELD_OBJECT, false, LABELS_MAX),
	FIELD(location, JSON_FIELD_OBJECT, false, 1),
	FIELD(digest, JSON_FIELD_DIGEST, false, 0),
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int check(const struct dataset_body *body, struct err *err)
{
	if (name_check(body->name, "/name", err) < 0 || labels_check(body->labels, err) < 0)
		return -1;
	if (strcmp(body->direction, "input") != 0 && strcmp(body->direction, "output") != 0)
		return err_set(
			err, ERR_INVALID, "dataset.bad_direction", "direction is input or output");
	if (body->location && dataset_location_check(body->location, err) < 0)
		return -1;
	if ((body->digest || body->credentials) && !body->location)
		return err_set(err, ERR_INVALID, "dataset.no_location",
			"digest and credentials are those of a 'location'");
	return body->credentials
		       ? credentials_check(body->credentials, json_text(body->location, "url"), err)
		       : 0;
}

/* Who may not see it may not use it. */
static int check_projection(struct web_req *req, const char *id, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (!id ||
		store_row_get(req, &projection_kind, req->principal->tenant, id, &rows, err) == 0)
		return 0;
	if (err->kind == ERR_NOT_FOUND)
		err->kind = ERR_UNPROCESSABLE;
	return -1;
}

static int decode(struct web_req *req, bool is_new, struct record *record, struct err *err)
{
	struct dataset_body body = { .direction = "input" };

	if (json_decode(req->arena, req->json, is_new ? fields : fields + 2, &body, err) < 0 ||
		check(&body, err) < 0 || check_projection(req, body.projection, err) < 0)
		return -1;
	record->name = body.name;
	record_add(record, body.name);
	record_add(record, body.description);
	record_add(record, body.long_description);
	record_add(record, body.projection);
	record_add_json(req, record, body.labels, "{}");
	if (is_new)
		record_add(record, body.direction);
	return 0;
}

/* What lies in other tables: labels, where the data is, sealed credentials. */
static int also(struct db *db, struct web_req *req, const struct record *record, struct err *err)
{
	const struct principal *who = req->principal;
	const json_t *credentials = json_object_get(req->json, "credentials");
	const char *url = json_text(json_object_get(req->json, "location"), "url");

	if (labels_set(db, req, record->id, json_object_get(req->json, "labels"), err) < 0)
		return -1;
	if (url && db_exec(db, &SQL_DATASET_PLACE,
			   DB_PARAMS(who->tenant, record->id, url, json_text(req->json, "digest"),
				   who->subject),
			   NULL, err) < 0)
		return -1;
	if (!credentials)
		return 0;
	if (db_exec(db, &SQL_CREDENTIALS_FIRST, DB_PARAMS(who->tenant, record->id), NULL, err) < 0)
		return -1;
	return dataset_credentials_add(db, req, record->id, credentials, err);
}

/* --- rows --- */

static void set_text(
	json_t *record, const char *name, const struct db_rows *rows, size_t i, const char *column)
{
	json_object_set_new(record, name,
		db_is_null(rows, i, column) ? json_null() : json_string(db_text(rows, i, column)));
}

void dataset_put_data(json_t *record, const struct db_rows *rows, size_t i)
{
	set_text(record, "object", rows, i, "object_id");
	set_text(record, "digest", rows, i, "digest");
	json_object_set_new(record, "location",
		db_is_null(rows, i, "location")
			? json_null()
			: json_pack("{s:s}", "url", db_text(rows, i, "location")));
	json_object_set_new(record, "size",
		db_is_null(rows, i, "size_bytes") ? json_null()
						  : json_integer(db_number(rows, i, "size_bytes")));
}

static json_t *encode(const struct db_rows *rows, size_t i)
{
	json_t *record = json_pack("{s:s,s:s,s:s,s:s,s:o,s:I,s:I,s:s,s:s}", "id",
		db_text(rows, i, "id"), "tenant", db_text(rows, i, "tenant_id"), "name",
		db_text(rows, i, "name"), "direction", db_text(rows, i, "direction"), "labels",
		json_loads(db_text(rows, i, "labels"), 0, NULL), "version",
		(json_int_t)db_number(rows, i, "version"), "credentials_version",
		(json_int_t)db_number(rows, i, "credentials_version"), "created_by",
		db_text(rows, i, "created_by"), "created_at", db_text(rows, i, "created_at"));

	set_text(record, "description", rows, i, "description");
	set_text(record, "projection", rows, i, "projection_id");
	dataset_put_data(record, rows, i);
	return record;
}

/* Only one by itself has its long description. */
static int show(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	if (record_show(req, res, rows, err) < 0)
		return -1;
	set_text(res->json, "long_description", rows, 0, "long_description");
	return 0;
}

/* ?space= those that were shared there, ?label=name=value. */
static int query(struct web_req *req, struct record *record, struct err *err)
{
	const char *space = web_query(req, "space");
	json_t *labels;

	if (labels_query(req, &labels, err) < 0)
		return -1;
	if (space && !principal_in_space(req->principal, space))
		return err_set(err, ERR_UNPROCESSABLE, "dataset.wrong_space",
			"the caller is in no such space");
	if (space) {
		record->list = &SQL_DATASET_LIST_OF_SPACE;
		record_add(record, space);
		record_add_json(req, record, labels, "{}");
	} else if (labels) {
		const char *name = json_object_iter_key(json_object_iter(labels));

		record->list = &SQL_DATASET_LIST_BY_LABEL;
		record_add(record, name);
		record_add(record, json_text(labels, name));
		record_add_json(req, record, labels, "{}");
	}
	return 0;
}

const struct record_kind dataset_kind = {
	.name = "dataset",
	.prefix = "dst",
	.path = "/v1/datasets",
	.roles = ROLES_DATA,
	.refers = "projection",
	.decode = decode,
	.query = query,
	.also = also,
	.encode = encode,
	.read = { .sql = &SQL_DATASET_BY_ID, .answer = show, .shared = true },
	.list = &SQL_DATASET_LIST,
	.insert = &SQL_DATASET_INSERT,
	.update = &SQL_DATASET_UPDATE,
	.remove = &SQL_DATASET_DELETE,
};

int dataset_usable(struct web_req *req, const char *tenant, const char *space, const char *id,
	bool *ret_usable, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_SPACES(tenant, space), &SQL_DATASET_USABLE,
		    DB_PARAMS(tenant, id), &rows, err) < 0)
		return -1;
	*ret_usable = db_count(rows) > 0;
	return 0;
}
