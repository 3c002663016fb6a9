/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log in the database. Batches travel as JSON lists: one statement a table. */
#include "services/certreg/store_audit.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/certreg/queries.h"
#include "services/certreg/store_rows.h"

#define MAX_ARRAY_BYTES (1024 * 1024)

/* --- appending --- */

static json_t *taken_of(const struct db_rows *rows)
{
	json_t *taken = json_object();

	for (size_t i = 0; i < db_count(rows); i++)
		json_object_set_new(
			taken, db_text(rows, i, "service"), json_string(db_text(rows, i, "ids")));
	return taken;
}

int store_audit_taken(struct db *db, json_t **ret_taken, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_SWEEP, &SQL_AUDIT_TAKEN, DB_NO_PARAMS, &rows, err) < 0)
		return -1;
	*ret_taken = taken_of(rows);
	return 0;
}

int store_audit_taken_lock(struct db *db, json_t **ret_taken, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_AUDIT_TAKEN_LOCK, DB_NO_PARAMS, &rows, err) < 0)
		return -1;
	*ret_taken = taken_of(rows);
	return 0;
}

int store_audit_last(struct db *db, char **ret_note, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_AUDIT_LAST_HEAD, DB_NO_PARAMS, &rows, err) < 0)
		return -1;
	*ret_note = db_count(rows) ? mem_strdup(db_text(rows, 0, "note")) : NULL;
	return 0;
}

/* A JSON list as the parameter of a statement. */
static int exec_list(struct db *db, const struct sql *sql, const json_t *list,
	struct db_rows **ret_rows, struct err *err)
{
	size_t len;
	auto_free char *text = json_encode(list, &len);

	return db_exec(db, sql, DB_PARAMS(text), ret_rows, err);
}

/* Of the rows what tells them apart, without their records. */
static int exec_names(struct db *db, const struct sql *sql, const json_t *rows,
	struct db_rows **ret_rows, struct err *err)
{
	auto_json json_t *names = json_array();
	const json_t *row;
	size_t i;

	json_array_foreach (rows, i, row)
		json_array_append_new(
			names, json_pack("{s:O,s:O}", "tenant", json_object_get(row, "tenant"),
				       "id", json_object_get(row, "id")));
	return exec_list(db, sql, names, ret_rows, err);
}

int store_audit_drop_known(struct db *db, json_t *rows, struct err *err)
{
	auto_rows struct db_rows *known = NULL;

	if (exec_names(db, &SQL_AUDIT_KNOWN, rows, &known, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(known); i++) {
		for (size_t at = json_array_size(rows); at-- > 0;) {
			if (strcmp(json_text(json_array_get(rows, at), "id"),
				    db_text(known, i, "id")) == 0)
				json_array_remove(rows, at);
		}
	}
	return 0;
}

int store_audit_count(struct db *db, const json_t *rows, json_t **ret_last, struct err *err)
{
	auto_rows struct db_rows *counted = NULL;

	if (exec_names(db, &SQL_AUDIT_COUNT_RAISE, rows, &counted, err) < 0)
		return -1;
	*ret_last = json_object();
	for (size_t i = 0; i < db_count(counted); i++)
		json_object_set_new(*ret_last, db_text(counted, i, "tenant_id"),
			json_integer(db_number(counted, i, "seq")));
	return 0;
}

int store_audit_taken_set(struct db *db, const json_t *taken, struct err *err)
{
	return exec_list(db, &SQL_AUDIT_TAKEN_SET, taken, NULL, err);
}

int store_audit_append(struct db *db, const struct store_audit_batch *batch, struct err *err)
{
	auto_free char *size = mem_printf("%llu", batch->size);

	if (exec_list(db, &SQL_AUDIT_RECORD_INSERT, batch->records, NULL, err) < 0 ||
		exec_list(db, &SQL_AUDIT_NODE_INSERT, batch->nodes, NULL, err) < 0 ||
		db_exec(db, &SQL_AUDIT_HEAD_INSERT, DB_PARAMS(size, batch->note), NULL, err) < 0)
		return -1;
	return store_audit_taken_set(db, batch->taken, err);
}

/* --- the tree --- */

/* An array's text, "{1,2}", of levels or places. */
static char *array_of(const struct merkle_node *nodes, size_t count, bool places)
{
	auto_buf text = BUF_INIT(MAX_ARRAY_BYTES);

	(void)buf_add_text(&text, "{", NULL);
	for (size_t i = 0; i < count; i++)
		(void)buf_printf(&text, NULL, "%s%llu", i ? "," : "",
			places ? nodes[i].index : (unsigned long long)nodes[i].level);
	(void)buf_add_text(&text, "}", NULL);
	return mem_strdup((const char *)text.data);
}

int store_audit_nodes(
	struct db *db, bool in_tx, struct merkle_node *nodes, size_t count, struct err *err)
{
	auto_free char *levels = array_of(nodes, count, false);
	auto_free char *places = array_of(nodes, count, true);
	auto_rows struct db_rows *rows = NULL;
	int result =
		in_tx ? db_exec(db, &SQL_AUDIT_NODES, DB_PARAMS(levels, places), &rows, err)
		      : db_run(db, NULL, &SQL_AUDIT_NODES, DB_PARAMS(levels, places), &rows, err);

	if (result < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (db_count(rows) != count || codec_hex_decode(db_text(rows, i, "hash"),
						       nodes[i].hash.bytes, DIGEST_SIZE, NULL) < 0)
			return err_set(err, ERR_INTERNAL, "audit.damaged",
				"hashes of the log are not there");
	}
	return 0;
}

int store_audit_checkpoint(struct db *db, struct arena *arena, const char **ret_note,
	unsigned long long *ret_size, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, NULL, &SQL_AUDIT_CHECKPOINT, DB_NO_PARAMS, &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "audit.no_log", "the log has no head yet");
	*ret_note = store_text(rows, 0, "note", arena);
	*ret_size = (unsigned long long)db_number(rows, 0, "size");
	return 0;
}

int store_audit_head(struct db *db, unsigned long long size, struct arena *arena,
	const char **ret_note, struct err *err)
{
	auto_free char *text = mem_printf("%llu", size);
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, NULL, &SQL_AUDIT_HEAD_BY_SIZE, DB_PARAMS(text), &rows, err) < 0)
		return -1;
	*ret_note = db_count(rows) ? store_text(rows, 0, "note", arena) : NULL;
	return 0;
}

int store_audit_cosign(struct db *db, unsigned long long size, const char *witness,
	const char *line, struct err *err)
{
	auto_free char *text = mem_printf("%llu", size);

	return db_run(
		db, NULL, &SQL_AUDIT_COSIGNATURE_INSERT, DB_PARAMS(text, witness, line), NULL, err);
}

/* --- records --- */

static json_t *encode_record(const struct db_rows *rows, size_t row)
{
	const char *text = db_text(rows, row, "record");

	return json_pack("{s:s,s:I,s:s,s:o?}", "id", db_text(rows, row, "id"), "index",
		(json_int_t)db_number(rows, row, "leaf"), "salt", db_text(rows, row, "salt"),
		"record", json_parse(text, strlen(text), NULL));
}

int store_audit_list(struct db *db, const char *tenant, const struct audit_filter *filter,
	const struct page *page, json_t **ret_list, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant), &SQL_AUDIT_RECORD_LIST,
		    DB_PARAMS(tenant, page->before, page->limit, filter->action, filter->who,
			    filter->on, filter->outcome, filter->since),
		    &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, encode_record);
	return 0;
}

int store_audit_leaves(struct db *db, const char *tenant, unsigned long long from,
	unsigned long long to, audit_visit_leaf *visit, void *arg, struct err *err)
{
	auto_free char *first = mem_printf("%llu", from);
	auto_free char *end = mem_printf("%llu", to);
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant), &SQL_AUDIT_LEAVES, DB_PARAMS(tenant, first, end), &rows,
		    err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows); i++) {
		const struct audit_leaf leaf = {
			.place = (unsigned long long)db_number(rows, i, "place"),
			.hash = db_text(rows, i, "hash"),
			.salt = store_text(rows, i, "salt", NULL),
			.record = store_text(rows, i, "record", NULL),
		};

		if (visit(&leaf, arg, err) < 0)
			return -1;
	}
	return 0;
}

int store_audit_heads(struct db *db, unsigned long long from, unsigned long long to,
	audit_visit_head *visit, void *arg, struct err *err)
{
	auto_free char *first = mem_printf("%llu", from);
	auto_free char *end = mem_printf("%llu", to);
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, NULL, &SQL_AUDIT_HEADS, DB_PARAMS(first, end), &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows); i++) {
		if (visit((unsigned long long)db_number(rows, i, "size"), db_text(rows, i, "note"),
			    arg, err) < 0)
			return -1;
	}
	return 0;
}

int store_audit_end(struct db *db, const char *tenant, unsigned long long *ret_size,
	unsigned long long *ret_records, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant), &SQL_AUDIT_END, DB_PARAMS(tenant), &rows, err) < 0)
		return -1;
	if (db_is_null(rows, 0, "size"))
		return err_set(err, ERR_NOT_FOUND, "audit.no_log", "the log has no head yet");
	*ret_size = (unsigned long long)db_number(rows, 0, "size");
	*ret_records = (unsigned long long)db_number(rows, 0, "records");
	return 0;
}
