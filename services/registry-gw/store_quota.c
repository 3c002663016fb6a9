/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls for quotas: what a tenant has, and the operator's limits. */
#include "lib/audit.h"
#include "services/registry-gw/queries.h"
#include "services/registry-gw/store.h"

static long limit_of(const struct db_rows *rows, const char *column)
{
	return db_is_null(rows, 0, column) ? -1 : (long)db_number(rows, 0, column);
}

int store_quota(struct db *db, const char *tenant, struct quota_usage *ret_usage, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant), &SQL_QUOTA_GET, DB_PARAMS(tenant), &rows, err) < 0)
		return -1;
	*ret_usage = (struct quota_usage) { .limits = { -1, -1, -1 } };
	if (db_count(rows) == 0)
		return 0;
	*ret_usage = (struct quota_usage) {
		.limits = {
			.bytes = limit_of(rows, "bytes_limit"),
			.images = limit_of(rows, "images_limit"),
			.uploads = limit_of(rows, "uploads_limit"),
		},
		.bytes = db_number(rows, 0, "bytes_used"),
		.reserved = db_number(rows, 0, "bytes_reserved"),
		.images = db_number(rows, 0, "images"),
		.uploads = db_number(rows, 0, "uploads"),
		.revision = db_number(rows, 0, "revision"),
	};
	return 0;
}

static const char *as_text(char text[DB_NUMBER_SIZE], long limit)
{
	return limit < 0 ? NULL : db_number_text(text, limit);
}

int store_quota_replace(struct db *db, const char *tenant, long long revision,
	const struct quota_limits *limits, struct err *err)
{
	char bytes[DB_NUMBER_SIZE], images[DB_NUMBER_SIZE], uploads[DB_NUMBER_SIZE];
	const struct audit_act act = { .action = "quota.set", .on = tenant };
	int changed =
		audit_run(db, DB_TENANT(tenant), revision > 0 ? &SQL_QUOTA_CHANGE : &SQL_QUOTA_NEW,
			DB_PARAMS(tenant, DB_NUMBER(revision), as_text(bytes, limits->bytes),
				as_text(images, limits->images), as_text(uploads, limits->uploads)),
			&act, err);

	if (changed < 0)
		return -1;
	return changed > 0 ? 0
			   : err_set(err, ERR_PRECONDITION_FAILED, "resource.changed",
				     "the quota of '%s' was changed meanwhile", tenant);
}
