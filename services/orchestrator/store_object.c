/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls for objects and the bytes a tenant uses. */
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "services/orchestrator/queries.h"
#include "services/orchestrator/store.h"
#include "services/orchestrator/store_rows.h"

struct add_work {
	struct web_req *req;
	const struct object *object;
	const char *route;
};

static int add_work(struct db *db, void *arg, struct err *err)
{
	struct add_work *work = arg;
	const struct object *object = work->object;

	if (resource_remember(db, work->req, work->route, object->id, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "create",
			  .on = object->id,
			  .detail = object->role,
			  .space = object->space });
	return db_exec(db, &SQL_OBJECT_INSERT,
		DB_PARAMS(object->tenant, object->space, object->id, object->role, object->run,
			object->run ? DB_NUMBER(object->fence) : NULL, object->created_by),
		NULL, err);
}

int store_object_add(
	struct web_req *req, const struct object *object, const char *route, struct err *err)
{
	struct add_work work = { req, object, route };

	return db_tx(req->worker->db, DB_TENANT(object->tenant), add_work, &work, err);
}

int store_object_get(struct db *db, struct arena *arena, const struct db_scope *scope,
	const char *id, struct object *ret_object, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, scope, &SQL_OBJECT_BY_ID, DB_PARAMS(scope->tenant_id, id), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(
			err, ERR_NOT_FOUND, "object.not_found", "there is no object '%s'", id);
	*ret_object = (struct object) {
		.tenant = db_text_in(rows, 0, "tenant_id", arena),
		.space = db_text_in(rows, 0, "space_id", arena),
		.id = db_text_in(rows, 0, "id", arena),
		.role = db_text_in(rows, 0, "role", arena),
		.run = db_text_in(rows, 0, "run_id", arena),
		.state = db_text_in(rows, 0, "state", arena),
		.digest = db_text_in(rows, 0, "digest", arena),
		.created_by = db_text_in(rows, 0, "created_by", arena),
		.created_at = db_text_in(rows, 0, "created_at", arena),
		.size = db_number(rows, 0, "size_bytes"),
		.revision = db_number(rows, 0, "revision"),
		.fence = db_is_null(rows, 0, "fence") ? 0 : db_number(rows, 0, "fence"),
	};
	return 0;
}

struct size_work {
	const struct object *object;
	const char *digest; /* close */
	long long size;	    /* -1: delete */
	long long quota;    /* what the tenant may use behind it; 0: whatever comes out */
};

/* Moves the tenant's usage; the row stays locked until the end, so that uploads side by side see
 * each other. */
static int move_usage(
	struct db *db, const struct size_work *work, long long difference, struct err *err)
{
	const struct object *object = work->object;
	auto_rows struct db_rows *row = NULL;

	if (db_exec(db, &SQL_USAGE_ADD,
		    DB_PARAMS(object->tenant, object->space, DB_NUMBER(difference)), &row, err) < 0)
		return -1;
	if (work->quota == 0 || difference < 0 || db_number(row, 0, "used_bytes") <= work->quota)
		return 0;
	return err_set(err, ERR_FORBIDDEN, "object.quota",
		"the tenant's quota of %lld bytes has no room for %lld more", work->quota,
		difference);
}

/* Locks the row, changes it, and moves the tenant's usage by the difference. */
static int size_work(struct db *db, void *arg, struct err *err)
{
	struct size_work *work = arg;
	const struct object *object = work->object;
	auto_rows struct db_rows *row = NULL;
	const char *size;
	long long before, after = work->size < 0 ? 0 : work->size;
	int r;

	if (db_exec(db, &SQL_OBJECT_LOCK, DB_PARAMS(object->tenant, object->id), &row, err) < 0)
		return -1;
	if (db_count(row) == 0 || strcmp(db_text(row, 0, "state"), "deleted") == 0)
		return err_set(err, ERR_NOT_FOUND, "object.not_found", "there is no object '%s'",
			object->id);
	if (work->size >= 0 && strcmp(db_text(row, 0, "state"), "closed") == 0)
		return work->quota ? err_set(err, ERR_CONFLICT, "object.closed",
					     "the object is complete")
				   : 0;
	before = db_number(row, 0, "size_bytes");
	size = DB_NUMBER(after);
	if (work->size < 0 || work->digest)
		audit(db, &(const struct audit_act) { .action = work->digest ? "close" : "delete",
				  .on = object->id,
				  .detail = work->digest });
	if (work->size < 0)
		r = db_exec(
			db, &SQL_OBJECT_DELETE, DB_PARAMS(object->tenant, object->id), NULL, err);
	else if (work->digest)
		r = db_exec(db, &SQL_OBJECT_CLOSE,
			DB_PARAMS(object->tenant, object->id, work->digest, size), NULL, err);
	else
		r = db_exec(db, &SQL_OBJECT_RESIZE, DB_PARAMS(object->tenant, object->id, size),
			NULL, err);
	return r < 0 || before == after ? r : move_usage(db, work, after - before, err);
}

int store_object_reserve(struct db *db, const struct object *object, long long size,
	long long quota, struct err *err)
{
	struct size_work work = { object, NULL, size, quota };

	return db_tx(db, DB_TENANT(object->tenant), size_work, &work, err);
}

int store_object_resize(struct db *db, const struct object *object, long long size, struct err *err)
{
	struct size_work work = { object, NULL, size, 0 };

	return db_tx(db, DB_TENANT(object->tenant), size_work, &work, err);
}

int store_object_close(struct db *db, const struct object *object, const char *digest,
	long long size, struct err *err)
{
	struct size_work work = { object, digest, size, 0 };

	return db_tx(db, DB_TENANT(object->tenant), size_work, &work, err);
}

int store_object_delete(struct db *db, const struct object *object, struct err *err)
{
	struct size_work work = { object, NULL, -1, 0 };

	return db_tx(db, DB_TENANT(object->tenant), size_work, &work, err);
}

/* --- retention --- */

const struct sql *const store_forgets[] = { &resource_forget, NULL };

static int sweep_objects(struct db *db, struct arena *arena, const struct sql *sql,
	struct object **ret_objects, size_t *ret_count, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	struct object *objects;

	if (db_run(db, DB_SWEEP, sql, DB_NO_PARAMS, &rows, err) < 0)
		return -1;
	objects = arena_alloc(arena, (db_count(rows) + 1) * sizeof(*objects));
	for (size_t i = 0; i < db_count(rows); i++)
		objects[i] = (struct object) {
			.tenant = db_text_in(rows, i, "tenant_id", arena),
			.space = db_text_in(rows, i, "space_id", arena),
			.id = db_text_in(rows, i, "id", arena),
			.due_at = sql == &SQL_OBJECTS_DUE ? db_text_in(rows, i, "due_at", arena)
							  : NULL,
		};
	*ret_objects = objects;
	*ret_count = db_count(rows);
	return 0;
}

int store_objects_due(struct db *db, struct arena *arena, struct object **ret_objects,
	size_t *ret_count, struct err *err)
{
	return sweep_objects(db, arena, &SQL_OBJECTS_DUE, ret_objects, ret_count, err);
}

int store_object_expire(struct db *db, const struct object *object, long days, struct err *err)
{

	return db_run(db, DB_SPACES(object->tenant, object->space), &SQL_OBJECT_EXPIRE,
		DB_PARAMS(object->tenant, object->id, object->due_at, DB_NUMBER(days)), NULL, err);
}

int store_objects_deleted(struct db *db, struct arena *arena, struct object **ret_objects,
	size_t *ret_count, struct err *err)
{
	return sweep_objects(db, arena, &SQL_OBJECTS_DELETED, ret_objects, ret_count, err);
}

int store_object_forget(struct db *db, const struct object *object, struct err *err)
{
	return db_run(
		db, DB_SWEEP, &SQL_OBJECT_FORGET, DB_PARAMS(object->tenant, object->id), NULL, err);
}
