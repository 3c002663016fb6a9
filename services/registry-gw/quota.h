/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tenant may keep here: bytes of blobs (each once, however many repositories have it) and of
 * manifests, images (manifests), open uploads. An upload's row holds its reservation: the bytes
 * that are there and those that were promised. It is made before bytes are taken, becomes what
 * really came when a write ends, what is used when the blob is there, and nothing with the row.
 */
#ifndef REGISTRY_GW_QUOTA_H
#define REGISTRY_GW_QUOTA_H

#include "lib/web.h"

struct db;
struct upload;

/* Of the configuration, for tenants without limits of their own. */
struct quota_limits {
	long bytes, images, uploads;
};

/* Makes upload->reserved at least `least` and, as far as there is room, `most`: bytes in all,
 * counted from the upload's start. quota.bytes */
int quota_reserve(struct db *db, const struct quota_limits *limits, struct upload *upload,
	long long least, long long most, struct err *err);

/* Whether so many bytes would fit now; nothing is reserved. quota.bytes */
int quota_check(struct db *db, const char *tenant, const struct quota_limits *defaults,
	long long bytes, struct err *err);

/* For who was refused by a statement: -1, with what the tenant has, of how much, and what to do.
 * quota.bytes, quota.images, quota.uploads */
int quota_refuse_bytes(struct db *db, const char *tenant, const struct quota_limits *defaults,
	long long more, struct err *err);
int quota_refuse_upload(
	struct db *db, const char *tenant, const struct quota_limits *defaults, struct err *err);
int quota_refuse_image(struct db *db, const char *tenant, const struct quota_limits *defaults,
	long long bytes, struct err *err);

/* GET /v1/registry/quota; for operators GET and PUT /v1/registry/quotas/{tenant_id}. */
web_handler quota_self, quota_show, quota_replace;

#endif
