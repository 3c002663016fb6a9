/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls for uploads and manifests. */
#include "services/registry-gw/store.h"

#include <string.h>

#include "lib/audit.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/queries.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/store_image.h"

const struct sql *const store_forgets[] = { &SQL_UPLOAD_FORGET, NULL };

/* --- uploads --- */

int store_upload_add(struct db *db, const struct access *access, const struct upload *upload,
	const char *owner, const struct quota_limits *limits, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(access->tenant), &SQL_UPLOAD_INSERT,
		    DB_PARAMS(access->tenant, access->space, upload->id, upload->repository,
			    upload->backend_id, upload->location, access->subject,
			    DB_NUMBER(limits->uploads), DB_NUMBER(limits->bytes), owner),
		    &rows, err) < 0)
		return -1;
	return db_count(rows) > 0 ? 0 : quota_refuse_upload(db, access->tenant, limits, err);
}

static void read_upload(struct arena *arena, const struct access *access,
	const struct db_rows *rows, struct upload *ret_upload)
{
	*ret_upload = (struct upload) {
		.tenant = access->tenant,
		.id = db_text_in(rows, 0, "id", arena),
		.repository = db_text_in(rows, 0, "repository", arena),
		.backend_id = db_text_in(rows, 0, "backend_id", arena),
		.location = db_text_in(rows, 0, "location", arena),
		.offset = db_number(rows, 0, "offset_bytes"),
		.reserved = db_number(rows, 0, "reserved_bytes"),
		.closing = db_text_in(rows, 0, "closing", arena),
		.fence = db_number(rows, 0, "fence"),
		.busy = db_bool(rows, 0, "busy"),
	};
}

int store_upload_get(struct web_req *req, const struct access *access, const char *id,
	struct upload *ret_upload, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(access->tenant), &SQL_UPLOAD_GET,
		    DB_PARAMS(access->tenant, id, access->repository, access->subject), &rows,
		    err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(
			err, ERR_NOT_FOUND, "upload.not_found", "there is no upload '%.48s'", id);
	read_upload(req->arena, access, rows, ret_upload);
	return 0;
}

int store_upload_claim(struct web_req *req, const struct access *access, const char *id,
	struct upload *ret_upload, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	auto_rows struct db_rows *rows = NULL;
	struct upload other;

	if (db_run(req->worker->db, DB_TENANT(access->tenant), &SQL_UPLOAD_CLAIM,
		    DB_PARAMS(access->tenant, id, access->repository, access->subject,
			    conf->instance),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 1) {
		read_upload(req->arena, access, rows, ret_upload);
		return 0;
	}
	if (store_upload_get(req, access, id, &other, err) < 0)
		return -1;
	return err_set(
		err, ERR_CONFLICT, "upload.busy", "another request writes the upload '%s'", id);
}

int store_upload_settle(struct db *db, const struct upload *upload, struct err *err)
{
	return db_run(db, DB_TENANT(upload->tenant), &SQL_UPLOAD_SETTLE,
		DB_PARAMS(upload->tenant, upload->id, DB_NUMBER(upload->fence), upload->location,
			DB_NUMBER(upload->offset)),
		NULL, err);
}

int store_upload_delete(struct db *db, const struct upload *upload, struct err *err)
{
	return db_run(db, DB_TENANT(upload->tenant), &SQL_UPLOAD_DELETE,
		DB_PARAMS(upload->tenant, upload->id), NULL, err);
}

int store_upload_reserve(struct db *db, const struct upload *upload, long long least,
	long long most, const struct quota_limits *limits, long long *ret_reserved, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(upload->tenant), &SQL_UPLOAD_RESERVE,
		    DB_PARAMS(upload->tenant, upload->id, DB_NUMBER(upload->fence),
			    DB_NUMBER(least), DB_NUMBER(most), DB_NUMBER(limits->bytes)),
		    &rows, err) < 0)
		return -1;
	*ret_reserved = db_count(rows) > 0 ? db_number(rows, 0, "reserved_bytes") : -1;
	return 0;
}

int store_leases_keep(struct db *db, const char *owner, const char *ids, struct err *err)
{
	return db_run(db, DB_SWEEP, &SQL_LEASES_KEEP, DB_PARAMS(owner, ids), NULL, err);
}

int store_leases_drop(struct db *db, const char *owner, struct err *err)
{
	return db_run(db, DB_SWEEP, &SQL_LEASES_DROP, DB_PARAMS(owner), NULL, err);
}

/* --- manifests --- */

struct manifest_work {
	const struct access *access;
	struct manifest *manifests;
	size_t n_manifests;
	const struct quota_limits *limits;
};

static char *image_of(const struct access *access, const char *digest)
{
	return mem_printf("%s@%s", access->repository, digest);
}

static int no_manifest(const char *reference, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "manifest.not_found", "there is no manifest '%.80s'",
		reference);
}

static int add_links(struct db *db, const struct access *access, const struct manifest *manifest,
	struct err *err)
{
	struct err failure = { .kind = ERR_NONE };

	if (db_exec(db, &SQL_MANIFEST_LINKS_INSERT,
		    DB_PARAMS(access->tenant, access->space, access->repository, manifest->digest,
			    manifest->links),
		    NULL, &failure) == 0)
		return 0;
	if (strcmp(failure.code, "db.foreign_key") == 0)
		return err_set(err, ERR_INVALID, "manifest.blob_unknown",
			"a blob that the manifest names is not in '%s' any more",
			access->repository);
	*err = failure;
	return -1;
}

/* A new image counts, and ends the expectation that its bytes came under. */
static int count_image(
	struct db *db, const struct manifest_work *work, struct manifest *manifest, struct err *err)
{
	const char *tenant = work->access->tenant;
	const struct quota_limits *limits = work->limits;
	const char *const counted[] = { tenant, DB_NUMBER((long long)manifest->size),
		DB_NUMBER(limits->images), DB_NUMBER(limits->bytes) };
	const char *const expected[] = { tenant, work->access->repository, manifest->digest,
		"manifest" };
	struct db_statement statements[] = {
		{ .sql = &SQL_QUOTA_ADD_IMAGE, .params = counted, .n_params = 4 },
		{ .sql = &SQL_LEFTOVER_SETTLE, .params = expected, .n_params = 4 },
	};
	bool fits, was_expected;

	if (db_exec_all(db, statements, 2, err) < 0)
		return -1;
	fits = db_count(statements[0].rows) > 0;
	manifest->images_percent = fits ? db_number(statements[0].rows, 0, "images_percent") : 0;
	manifest->bytes_percent = fits ? db_number(statements[0].rows, 0, "bytes_percent") : 0;
	was_expected = db_affected(statements[1].rows) > 0;
	db_rows_free(statements[0].rows);
	db_rows_free(statements[1].rows);
	if (!was_expected)
		return store_leftover_busy(manifest->digest, err);
	return fits ? 0 : err_set(err, ERR_FORBIDDEN, "quota.images", "no room");
}

static int insert_manifest(
	struct db *db, const struct access *access, struct manifest *manifest, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_MANIFEST_INSERT,
		    DB_PARAMS(access->tenant, access->space, access->repository, manifest->digest,
			    manifest->media_type, DB_NUMBER((long long)manifest->size),
			    manifest->subject, manifest->artifact_type, manifest->annotations,
			    access->subject, manifest->id, manifest->kind,
			    manifest->encrypted ? "true" : "false", DB_NUMBER(manifest->layers),
			    DB_NUMBER(manifest->total), manifest->recipients,
			    DB_NUMBER(manifest->layer_recipients)),
		    &rows, err) < 0)
		return -1;
	manifest->is_new = db_bool(rows, 0, "is_new");
	return 0;
}

/* What was said of the same bytes before, under another rule, counts no more. */
static int add_signatures(struct db *db, const struct access *access,
	const struct manifest *manifest, struct err *err)
{
	if (db_exec(db, &SQL_SIGNATURE_CLEAR,
		    DB_PARAMS(access->tenant, access->repository, manifest->digest), NULL, err) < 0)
		return -1;
	if (!manifest->signatures)
		return 0;
	return db_exec(db, &SQL_SIGNATURE_INSERT,
		DB_PARAMS(access->tenant, access->space, access->repository, manifest->digest,
			manifest->signatures),
		NULL, err);
}

static int add_manifest(
	struct db *db, const struct access *access, struct manifest *manifest, struct err *err)
{
	auto_free char *on = image_of(access, manifest->digest);

	if (insert_manifest(db, access, manifest, err) < 0 ||
		add_links(db, access, manifest, err) < 0 ||
		db_exec(db, &SQL_TAG_SET,
			DB_PARAMS(access->tenant, access->space, access->repository, manifest->tags,
				manifest->digest, access->subject),
			NULL, err) < 0 ||
		add_signatures(db, access, manifest, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "image.push", .on = on });
	return 0;
}

/* An index goes before what it names; and what goes makes room before what came is counted. */
static int add_manifests(struct db *db, void *arg, struct err *err)
{
	const struct manifest_work *work = arg;

	for (size_t i = 0; i < work->n_manifests; i++) {
		if (add_manifest(db, work->access, &work->manifests[i], err) < 0)
			return -1;
	}
	for (size_t i = work->n_manifests; i-- > 0;) {
		if (work->manifests[i].replaces &&
			store_image_replace(db, work->access, &work->manifests[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < work->n_manifests; i++) {
		if (work->manifests[i].is_new &&
			count_image(db, work, &work->manifests[i], err) < 0)
			return -1;
	}
	return 0;
}

int store_manifests_add(struct db *db, const struct access *access, struct manifest *manifests,
	size_t n_manifests, const struct quota_limits *limits, struct err *err)
{
	struct manifest_work work = {
		.access = access,
		.manifests = manifests,
		.n_manifests = n_manifests,
		.limits = limits,
	};
	struct err failure = { .kind = ERR_NONE };
	long long bytes = 0;

	if (db_tx(db, DB_TENANT(access->tenant), add_manifests, &work, &failure) == 0)
		return 0;
	for (size_t i = 0; i < n_manifests; i++)
		bytes += (long long)manifests[i].size;
	if (strcmp(failure.code, "quota.images") == 0)
		return quota_refuse_image(db, access->tenant, limits, bytes, err);
	*err = failure;
	return -1;
}

int store_manifest_find(struct web_req *req, const struct access *access, const char *reference,
	struct manifest *ret_manifest, struct err *err)
{
	const struct sql *sql =
		reference_is_tag(reference) ? &SQL_MANIFEST_FIND : &SQL_MANIFEST_GET;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(access->tenant), sql,
		    DB_PARAMS(access->tenant, access->repository, reference), &rows, err) < 0)
		return -1;
	return store_manifest_row(req, reference, rows, ret_manifest, err);
}

int store_manifest_row(struct web_req *req, const char *reference, const struct db_rows *rows,
	struct manifest *ret_manifest, struct err *err)
{
	if (db_count(rows) == 0)
		return no_manifest(reference, err);
	ret_manifest->digest = db_text_in(rows, 0, "digest", req->arena);
	ret_manifest->media_type = db_text_in(rows, 0, "media_type", req->arena);
	ret_manifest->id = db_text_in(rows, 0, "id", req->arena);
	ret_manifest->is_free = db_bool(rows, 0, "is_free");
	return 0;
}

int store_manifest_drop(struct db *db, const struct access *access, const char *digest,
	long grace_ms, struct err *err)
{
	auto_free char *on = image_of(access, digest);
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_MANIFEST_DELETE, DB_PARAMS(access->tenant, access->repository, digest),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return no_manifest(digest, err);
	audit(db, &(const struct audit_act) { .action = "image.delete", .on = on });
	if (db_exec(db, &SQL_QUOTA_DROP_IMAGE,
		    DB_PARAMS(access->tenant, DB_NUMBER(db_number(rows, 0, "size_bytes"))), NULL,
		    err) < 0)
		return -1;
	return db_exec(db, &SQL_LEFTOVER_ADD,
		DB_PARAMS(access->tenant, access->repository, digest, "manifest",
			DB_NUMBER(grace_ms)),
		NULL, err);
}

struct drop_work {
	const struct access *access;
	const char *digest;
	long grace_ms;
};

static int delete_manifest(struct db *db, void *arg, struct err *err)
{
	const struct drop_work *work = arg;

	return store_manifest_drop(db, work->access, work->digest, work->grace_ms, err);
}

int store_manifest_delete(struct db *db, const struct access *access, const char *digest,
	long grace_ms, struct err *err)
{
	struct drop_work work = { access, digest, grace_ms };

	return db_tx(db, DB_TENANT(access->tenant), delete_manifest, &work, err);
}

int store_manifest_reaches(struct db *db, const struct access *access, const char *digest,
	bool *ret_reaches, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(access->tenant), &SQL_MANIFEST_REACHES,
		    DB_PARAMS(access->tenant, access->repository, access->image, digest), &rows,
		    err) < 0)
		return -1;
	*ret_reaches = db_count(rows) > 0;
	return 0;
}

/* --- tags and referrers --- */

int store_tag_delete(struct db *db, const struct access *access, const char *name, struct err *err)
{
	auto_free char *on = mem_printf("%s:%s", access->repository, name);
	const struct audit_act act = { .action = "image.untag", .on = on };
	int changed = audit_run(db, DB_TENANT(access->tenant), &SQL_TAG_DELETE,
		DB_PARAMS(access->tenant, access->repository, name), &act, err);

	if (changed < 0)
		return -1;
	return changed > 0 ? 0 : no_manifest(name, err);
}

int store_tag_page(struct db *db, const struct access *access, const char *last, long long limit,
	struct db_rows **ret_rows, struct err *err)
{
	struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(access->tenant), &SQL_TAG_PAGE,
		    DB_PARAMS(access->tenant, access->repository, last, DB_NUMBER(limit)), &rows,
		    err) < 0)
		return -1;
	if (db_count(rows) == 0) {
		db_rows_free(rows);
		return err_set(err, ERR_NOT_FOUND, "repository.not_found",
			"there is no repository '%s'", access->repository);
	}
	*ret_rows = rows;
	return 0;
}

int store_referrers(struct db *db, const struct access *access, const struct referrer_page *page,
	struct db_rows **ret_rows, struct err *err)
{
	return db_run(db, DB_TENANT(access->tenant), &SQL_REFERRER_PAGE,
		DB_PARAMS(access->tenant, access->repository, page->subject, page->last,
			page->artifact_type, DB_NUMBER(page->limit), DB_NUMBER(page->max_bytes)),
		ret_rows, err);
}
