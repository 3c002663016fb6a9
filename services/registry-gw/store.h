/* SPDX-License-Identifier: Apache-2.0 */
/* Every database call of registry-gw. Texts are the request arena's. */
#ifndef REGISTRY_GW_STORE_H
#define REGISTRY_GW_STORE_H

#include "lib/db.h"
#include "services/registry-gw/access.h"
#include "services/registry-gw/quota.h"

extern const struct sql *const store_forgets[]; /* of struct service */

struct upload {
	const char *tenant;
	const char *id;
	const char *repository;
	const char *backend_id; /* the registry's own name for it */
	const char *location;	/* path and query at the registry; NULL: unknown */
	long long offset;
	long long reserved; /* bytes of the quota, with those that are there */
	const char
		*closing; /* digest under which the registry was last asked to keep it, or NULL */
	long long fence;
	bool busy; /* somebody writes it */
};

/* With an `owner` (or NULL) it is his from the start, nobody else's ever, and goes with his lease.
 * quota.uploads, quota.bytes */
int store_upload_add(struct db *db, const struct access *access, const struct upload *upload,
	const char *owner, const struct quota_limits *limits, struct err *err);
/* A session belongs to whoever opened it: upload.not_found for anybody else. */
int store_upload_get(struct web_req *req, const struct access *access, const char *id,
	struct upload *ret_upload, struct err *err);
/* Makes the caller its one writer. upload.not_found, upload.busy. */
int store_upload_claim(struct web_req *req, const struct access *access, const char *id,
	struct upload *ret_upload, struct err *err);
/* Writes down where it stands and lets go of it, unless another writer took it over. */
int store_upload_settle(struct db *db, const struct upload *upload, struct err *err);
/* With what it had reserved. */
int store_upload_delete(struct db *db, const struct upload *upload, struct err *err);
/* Its reservation becomes `most`, or as much as the quota has left, but at least `least`: the whole
 * of it, or -1 in *ret_reserved. */
int store_upload_reserve(struct db *db, const struct upload *upload, long long least,
	long long most, const struct quota_limits *limits, long long *ret_reserved,
	struct err *err);

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
	const char *id, *kind;	   /* of the API: image, index, signature */
	bool encrypted;
	bool is_free; /* nothing about it may be refused by a rule that came later */
	long long layers, total, layer_recipients;
	const char *recipients;		 /* JSON, see manifest_check.h */
	const char *signatures;		 /* JSON [[image, spki], …], or NULL */
	const struct replaced *replaces; /* or NULL */
	const char *rule;		 /* the mode under which it came in */
	/* Told by store_manifests_add(); how full the quota is with it, when it is new. */
	bool is_new;
	long long images_percent, bytes_percent;
};

/* An image that goes when another one comes, which takes its tags. Without an id it is a part of
 * an index that goes, and stays with its tags where another index names it. With `parts` it is not
 * the old image with other packets, but a new one: the old one stays without tags where an index
 * names it, else goes with all that only it named and that has no tag. */
struct replaced {
	const char *id, *digest;
	bool parts;
	long long revision; /* that it is still at: resource.changed */
	const char *tags;   /* JSON of all that it has: image.tags_moved */
	long grace_ms;	    /* as for store_manifest_delete() */
};

/* The rows that make them be there, all or none, behind store_expect() and the registry's word.
 * What an index names comes before it. Codes: manifest.blob_unknown, quota.images, quota.bytes,
 * leftover.busy, and those of store_image_replace(). */
int store_manifests_add(struct db *db, const struct access *access, struct manifest *manifests,
	size_t n_manifests, const struct quota_limits *limits, struct err *err);
/* What a tag or digest stands for: digest and media_type. manifest.not_found */
int store_manifest_find(struct web_req *req, const struct access *access, const char *reference,
	struct manifest *ret_manifest, struct err *err);
/* The same of that row. */
int store_manifest_row(struct web_req *req, const char *reference, const struct db_rows *rows,
	struct manifest *ret_manifest, struct err *err);
/* With all its tags. The registry has its bytes for another `grace_ms`. manifest.not_found */
int store_manifest_delete(struct db *db, const struct access *access, const char *digest,
	long grace_ms, struct err *err);
/* The same in a transaction. */
int store_manifest_drop(struct db *db, const struct access *access, const char *digest,
	long grace_ms, struct err *err);
/* Whether the agent's image is, or names, `digest`. */
int store_manifest_reaches(struct db *db, const struct access *access, const char *digest,
	bool *ret_reaches, struct err *err);

/* --- quotas (store_quota.c) --- */

struct quota_usage {
	struct quota_limits limits; /* -1: none of its own */
	long long bytes, reserved, images, uploads;
	long long revision; /* 0: nothing is known of the tenant */
};
int store_quota(struct db *db, const char *tenant, struct quota_usage *ret_usage, struct err *err);
/* resource.changed when it is not at `revision` any more. */
int store_quota_replace(struct db *db, const char *tenant, long long revision,
	const struct quota_limits *limits, struct err *err);

/* --- blobs, and what the registry may have without a row (store_blob.c) --- */

enum store_kind { STORE_BLOB, STORE_MANIFEST };

/* Says that the registry is about to get something, through `upload` (or NULL), which remembers it:
 * what then stays without a row goes an hour later. leftover.busy: it is just being deleted there.
 */
int store_expect(struct db *db, const struct access *access, enum store_kind kind,
	const char *digest, const struct upload *upload, struct err *err);
/* The size of a blob of the repository, -1 without one. Whoever asks may be about to name it, so it
 * is kept for most of `grace_ms` from now on. */
int store_blob_size(struct db *db, const struct access *access, const char *digest, long grace_ms,
	long long *ret_size, struct err *err);
/* The same of that row. */
int store_blob_row(struct db *db, const struct access *access, const char *digest,
	const struct db_rows *rows, long long *ret_size, struct err *err);
/* The row that makes a blob be there, behind store_expect() and the registry's word; `upload` (or
 * NULL) goes with it. leftover.busy */
int store_blob_add(struct db *db, const struct access *access, const char *digest, long long size,
	const struct upload *upload, struct err *err);
/* Hidden at once; the registry has its bytes for another `grace_ms`. blob.not_found, blob.in_use */
int store_blob_delete(struct db *db, const struct access *access, const char *digest, long grace_ms,
	struct err *err);
/* The first blob among the links that this repository does not have, or NULL. */
int store_blob_missing(struct web_req *req, const struct access *access, const char *links,
	const char **ret_digest, struct err *err);

/* --- collection, in a background loop (store_blob.c) --- */

/* The next tenant that was not looked after for `beat_ms`: false without one. */
int store_collect_claim(
	struct db *db, long beat_ms, char ret_tenant[ID_SIZE], bool *ret_is_due, struct err *err);
/* Blobs that no manifest names and nobody asked for in `grace_ms` lose their rows. */
int store_collect_blobs(struct db *db, const char *tenant, long grace_ms, struct err *err);

/* leftover.busy: come again, the registry is just deleting it. */
int store_leftover_busy(const char *digest, struct err *err);

struct leftover {
	char *repository, *digest, *kind; /* the caller frees */
	long long fence;
};
/* One that is due, leased to the caller for longer than a call to the registry may take. */
int store_leftover_claim(struct db *db, const char *tenant, struct leftover *ret_leftover,
	bool *ret_is_due, struct err *err);
int store_leftover_done(
	struct db *db, const char *tenant, const struct leftover *leftover, struct err *err);

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
