/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls of store_image.h. */
#include "services/registry-gw/store_image.h"

#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/queries.h"

static json_t *json_in(const struct db_rows *rows, size_t i, const char *column)
{
	return json_loads(db_text(rows, i, column), 0, NULL);
}

static void set_text(json_t *image, const char *name, const struct db_rows *rows, size_t i)
{
	json_object_set_new(image, name,
		db_is_null(rows, i, name) ? json_null() : json_string(db_text(rows, i, name)));
}

static void set_number(
	json_t *image, const char *name, const struct db_rows *rows, size_t i, const char *column)
{
	json_object_set_new(image, name, json_integer(db_number(rows, i, column)));
}

static json_t *image_row(const struct db_rows *rows, size_t i)
{
	static const char *const texts[] = { "id", "repository", "digest", "media_type", "kind",
		"subject", "created_by", "created_at", "pushed_at", "used_at", NULL };
	json_t *image = json_object();

	for (size_t k = 0; texts[k]; k++)
		set_text(image, texts[k], rows, i);
	set_number(image, "layers", rows, i, "layers");
	set_number(image, "size_bytes", rows, i, "total_bytes");
	set_number(image, "manifest_bytes", rows, i, "size_bytes");
	set_number(image, "recipients_of_a_layer", rows, i, "layer_recipients");
	set_number(image, "pushes", rows, i, "pushes");
	json_object_set_new(image, "encrypted", json_boolean(db_bool(rows, i, "encrypted")));
	json_object_set_new(image, "recipients", json_in(rows, i, "recipients"));
	json_object_set_new(image, "tags", json_in(rows, i, "tags"));
	json_object_set_new(image, "signers", json_in(rows, i, "signers"));
	return image;
}

int store_image_list(struct web_req *req, const struct page *page,
	const struct image_filter *filter, json_t **ret_list, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), &SQL_IMAGE_LIST,
		    DB_PARAMS(tenant, page->before, page->limit, filter->repository, filter->tag,
			    filter->digest, filter->encrypted),
		    &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, image_row);
	return 0;
}

static int not_found(struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "image.not_found", "there is no such image");
}

static int image_answer(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	if (db_count(rows) == 0)
		return not_found(err);
	web_header_add(
		res, "Location", arena_printf(req->arena, "/v1/images/%s", db_text(rows, 0, "id")));
	res->json = image_row(rows, 0);
	resource_etag(req, res, db_number(rows, 0, "revision"));
	return 0;
}

const struct web_read store_image_read = { .sql = &SQL_IMAGE_FULL, .answer = image_answer };

static void forget(void *value)
{
	json_decref(value);
}

int store_image_get(struct web_req *req, const char *id, struct image *ret_image, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), &SQL_IMAGE_FULL, DB_PARAMS(tenant, id),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return not_found(err);
	*ret_image = (struct image) {
		.id = db_text_in(rows, 0, "id", req->arena),
		.repository = db_text_in(rows, 0, "repository", req->arena),
		.digest = db_text_in(rows, 0, "digest", req->arena),
		.media_type = db_text_in(rows, 0, "media_type", req->arena),
		.kind = db_text_in(rows, 0, "kind", req->arena),
		.tags = json_in(rows, 0, "tags"),
		.revision = db_number(rows, 0, "revision"),
	};
	arena_defer(req->arena, forget, ret_image->tags);
	return 0;
}

struct access image_access(const struct web_req *req, const struct image *image)
{
	return (struct access) {
		.tenant = req->principal->tenant,
		.space = req->principal->space,
		.subject = req->principal->subject,
		.repository = image->repository,
	};
}

static int in_index(const struct db_rows *rows, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "image.in_index", "the index '%s' names it",
		db_text(rows, 0, "manifest"));
}

int store_image_unnamed(struct web_req *req, const struct image *image, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), &SQL_IMAGE_INDEX,
		    DB_PARAMS(tenant, image->repository, image->digest), &rows, err) < 0)
		return -1;
	return db_count(rows) == 0 ? 0 : in_index(rows, err);
}

/* --- one image for another --- */

/* Whoever pushes, tags or replaces it meanwhile waits. */
static int lock_replaced(struct db *db, const struct access *access,
	const struct replaced *replaced, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_IMAGE_LOCK, DB_PARAMS(access->tenant, replaced->id), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return not_found(err);
	if (db_number(rows, 0, "pushes") == replaced->revision)
		return 0;
	return err_set(err, ERR_PRECONDITION_FAILED, "resource.changed",
		"the image was pushed again meanwhile");
}

static int move_tags(struct db *db, const struct access *access, const struct manifest *manifest,
	struct err *err)
{
	const struct replaced *replaced = manifest->replaces;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_TAGS_MOVE,
		    DB_PARAMS(access->tenant, access->repository, replaced->digest,
			    manifest->digest, access->subject, replaced->tags),
		    &rows, err) < 0)
		return -1;
	if (!replaced->id || db_bool(rows, 0, "as_expected"))
		return 0;
	return err_set(err, ERR_CONFLICT, "image.tags_moved",
		"the image has other tags than the caller saw");
}

/* No tag leads there, and no index. */
static int drop_orphan(struct db *db, const struct access *access, const char *digest,
	long grace_ms, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_IMAGE_ORPHAN, DB_PARAMS(access->tenant, access->repository, digest),
		    &rows, err) < 0)
		return -1;
	return db_count(rows) > 0 ? store_manifest_drop(db, access, digest, grace_ms, err) : 0;
}

static int drop_with_parts(struct db *db, const struct access *access,
	const struct manifest *manifest, struct err *err)
{
	const struct replaced *replaced = manifest->replaces;
	auto_rows struct db_rows *parts = NULL;

	if (db_exec(db, &SQL_IMAGE_PARTS,
		    DB_PARAMS(access->tenant, access->repository, replaced->digest), &parts,
		    err) < 0 ||
		store_manifest_drop(db, access, replaced->digest, replaced->grace_ms, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(parts); i++) {
		const char *digest = db_text(parts, i, "digest");

		if (strcmp(digest, manifest->digest) != 0 &&
			drop_orphan(db, access, digest, replaced->grace_ms, err) < 0)
			return -1;
	}
	return 0;
}

int store_image_replace(struct db *db, const struct access *access, const struct manifest *manifest,
	struct err *err)
{
	const struct replaced *replaced = manifest->replaces;
	auto_free char *on = mem_printf("%s@%s", access->repository, manifest->digest);
	auto_rows struct db_rows *indexes = NULL;

	if (replaced->id && lock_replaced(db, access, replaced, err) < 0)
		return -1;
	if (db_exec(db, &SQL_IMAGE_INDEX,
		    DB_PARAMS(access->tenant, access->repository, replaced->digest), &indexes,
		    err) < 0)
		return -1;
	if (db_count(indexes) > 0 && !replaced->parts)
		return replaced->id ? in_index(indexes, err) : 0;
	if (move_tags(db, access, manifest, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) {
			  .action = replaced->parts ? "image.replace" : "image.rewrap",
			  .on = on,
			  .detail = replaced->digest });
	if (db_count(indexes) > 0)
		return 0;
	return replaced->parts
		       ? drop_with_parts(db, access, manifest, err)
		       : store_manifest_drop(db, access, replaced->digest, replaced->grace_ms, err);
}

int store_image_id(struct web_req *req, const struct access *access, const char *digest,
	const char **ret_id, struct err *err)
{
	struct manifest manifest;

	if (store_manifest_find(req, access, digest, &manifest, err) < 0)
		return -1;
	*ret_id = manifest.id;
	return 0;
}

/* --- last pulls --- */

int store_images_used(struct db *db, const char *ids, struct err *err)
{
	return db_run(db, DB_SWEEP, &SQL_IMAGES_USED, DB_PARAMS(ids), NULL, err);
}
