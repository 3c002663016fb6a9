/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls of store_image.h. */
#include "services/registry-gw/store_image.h"

#include "lib/auth.h"
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

int store_image_unnamed(struct web_req *req, const struct image *image, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), &SQL_IMAGE_INDEX,
		    DB_PARAMS(tenant, image->repository, image->digest), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return 0;
	return err_set(err, ERR_CONFLICT, "image.in_index", "the index '%s' names it",
		db_text(rows, 0, "manifest"));
}

int store_images_used(struct db *db, const char *ids, struct err *err)
{
	return db_run(db, DB_SWEEP, &SQL_IMAGES_USED, DB_PARAMS(ids), NULL, err);
}
