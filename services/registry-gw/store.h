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
	const char *links; /* JSON [[kind, digest], …] */
};

int store_manifest_add(struct db *db, const struct access *access, const struct manifest *manifest,
	struct err *err);
/* The first of the links that is no known manifest of this repository, or NULL. */
int store_manifest_missing_child(struct web_req *req, const struct access *access,
	const char *links, const char **ret_digest, struct err *err);
int store_manifest_delete(
	struct db *db, const struct access *access, const char *digest, struct err *err);
/* Whether the agent's image is, or names, `digest`. */
int store_manifest_reaches(struct db *db, const struct access *access, const char *digest,
	bool *ret_reaches, struct err *err);

#endif
