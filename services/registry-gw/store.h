/* SPDX-License-Identifier: Apache-2.0 */
/* Every database call of registry-gw. Texts are the request arena's. */
#ifndef REGISTRY_GW_STORE_H
#define REGISTRY_GW_STORE_H

#include "lib/db.h"
#include "services/registry-gw/access.h"

extern const struct sql *const store_forgets[]; /* of struct service */

struct upload {
	const char *tenant;
	const char *id;
	const char *repository;
	const char *backend_id; /* the registry's own name for it */
	const char *location;	/* path and query at the registry; NULL: unknown */
	long long offset;
	long long fence;
	bool busy; /* somebody writes it */
};

int store_upload_add(
	struct db *db, const struct access *access, const struct upload *upload, struct err *err);
/* A session belongs to whoever opened it: upload.not_found for anybody else. */
int store_upload_get(struct web_req *req, const struct access *access, const char *id,
	struct upload *ret_upload, struct err *err);
/* Makes the caller its one writer. upload.not_found, upload.busy. */
int store_upload_claim(struct web_req *req, const struct access *access, const char *id,
	struct upload *ret_upload, struct err *err);
/* Writes down where it stands and lets go of it, unless another writer took it over. */
int store_upload_settle(struct db *db, const struct upload *upload, struct err *err);
int store_upload_delete(struct db *db, const struct upload *upload, struct err *err);

/* Leases of all tenants: `ids` joined by commas. */
int store_leases_keep(struct db *db, const char *owner, const char *ids, struct err *err);
int store_leases_drop(struct db *db, const char *owner, struct err *err);

struct manifest {
	const char *digest;
	const char *media_type;
	size_t size;
	const char *links;	   /* JSON [[kind, digest], …] */
	const char *tags;	   /* JSON [name, …] */
	const char *subject;	   /* digest, or NULL */
	const char *artifact_type; /* or NULL */
	const char *annotations;   /* JSON, or NULL */
};

/* The registry's part of a change, inside its transaction: who pushes and who deletes the same
 * digest wait for each other, and a row is there only when its bytes are. */
typedef int store_part(void *arg, struct err *err);

int store_manifest_add(struct db *db, const struct access *access, const struct manifest *manifest,
	store_part *part, void *arg, struct err *err);
/* What a tag or digest stands for: digest and media_type. manifest.not_found */
int store_manifest_find(struct web_req *req, const struct access *access, const char *reference,
	struct manifest *ret_manifest, struct err *err);
/* The first of the links that is no known manifest of this repository, or NULL. */
int store_manifest_missing_child(struct web_req *req, const struct access *access,
	const char *links, const char **ret_digest, struct err *err);
/* With all its tags. manifest.not_found */
int store_manifest_delete(struct db *db, const struct access *access, const char *digest,
	store_part *part, void *arg, struct err *err);
/* A manifest that names the blob, or NULL. */
int store_manifest_names(struct web_req *req, const struct access *access, const char *digest,
	const char **ret_manifest, struct err *err);
/* Whether the agent's image is, or names, `digest`. */
int store_manifest_reaches(struct db *db, const struct access *access, const char *digest,
	bool *ret_reaches, struct err *err);

/* The tag alone. manifest.not_found */
int store_tag_delete(struct db *db, const struct access *access, const char *name, struct err *err);
/* At most `limit` names behind `last` in bytewise order, column "name"; a NULL name: there are
 * none. repository.not_found */
int store_tag_page(struct db *db, const struct access *access, const char *last, long long limit,
	struct db_rows **ret_rows, struct err *err);

struct referrer_page {
	const char *subject, *artifact_type; /* NULL: of any type; "": without one */
	const char *last;		     /* digest that the page lies behind; "" */
	long long limit, max_bytes;	     /* at least one whatever its size */
};
/* digest, media_type, size_bytes, artifact_type, annotations, more (behind this one). */
int store_referrers(struct db *db, const struct access *access, const struct referrer_page *page,
	struct db_rows **ret_rows, struct err *err);

#endif
