/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas: what is refused and how that reads, and the routes. Limits of a tenant are set by the
 * instance's operators, who see the sums and nothing of what they are made of.
 */
#include "services/registry-gw/quota.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/resource.h"
#include "lib/service.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/store.h"

#define RETRY_SECONDS 10 /* an upload of one's own may have ended by then */
#define MIB (1024 * 1024)

/* Limits that count now. */
static struct quota_limits in_force(
	const struct quota_usage *usage, const struct quota_limits *defaults)
{
	const struct quota_limits *own = &usage->limits;

	return (struct quota_limits) {
		.bytes = own->bytes >= 0 ? own->bytes : defaults->bytes,
		.images = own->images >= 0 ? own->images : defaults->images,
		.uploads = own->uploads >= 0 ? own->uploads : defaults->uploads,
	};
}

/* --- refusals --- */

/* What a tenant has, and of how much. */
struct standing {
	struct quota_usage usage;
	struct quota_limits limits;
};

static int look_up(struct db *db, const char *tenant, const struct quota_limits *defaults,
	struct standing *ret_standing, struct err *err)
{
	if (store_quota(db, tenant, &ret_standing->usage, err) < 0)
		return -1;
	ret_standing->limits = in_force(&ret_standing->usage, defaults);
	return 0;
}

static int bytes_do_not_fit(const struct standing *standing, long long more, struct err *err)
{
	const struct quota_usage *usage = &standing->usage;

	return err_set(err, ERR_FORBIDDEN, "quota.bytes",
		"quota exceeded: %lld of %ld MiB used, %lld MiB reserved by uploads, %lld MiB more "
		"do not fit: delete images or cancel uploads, or ask the operator for more",
		usage->bytes / MIB, standing->limits.bytes / MIB, usage->reserved / MIB,
		(more + MIB - 1) / MIB);
}

int quota_refuse_bytes(struct db *db, const char *tenant, const struct quota_limits *defaults,
	long long more, struct err *err)
{
	struct standing standing;

	if (look_up(db, tenant, defaults, &standing, err) < 0)
		return -1;
	return bytes_do_not_fit(&standing, more, err);
}

int quota_check(struct db *db, const char *tenant, const struct quota_limits *defaults,
	long long bytes, struct err *err)
{
	struct standing standing;

	if (look_up(db, tenant, defaults, &standing, err) < 0)
		return -1;
	if (standing.usage.bytes + standing.usage.reserved + bytes <= standing.limits.bytes)
		return 0;
	return bytes_do_not_fit(&standing, bytes, err);
}

int quota_refuse_upload(
	struct db *db, const char *tenant, const struct quota_limits *defaults, struct err *err)
{
	struct standing standing;

	if (look_up(db, tenant, defaults, &standing, err) < 0)
		return -1;
	if (standing.usage.uploads < standing.limits.uploads)
		return bytes_do_not_fit(&standing, 1, err);
	err_set(err, ERR_LIMITED, "quota.uploads",
		"quota exceeded: %lld of %ld uploads are open: finish or cancel some",
		standing.usage.uploads, standing.limits.uploads);
	if (err)
		err->retry_s = RETRY_SECONDS;
	return -1;
}

int quota_refuse_image(struct db *db, const char *tenant, const struct quota_limits *defaults,
	long long bytes, struct err *err)
{
	struct standing standing;

	if (look_up(db, tenant, defaults, &standing, err) < 0)
		return -1;
	if (standing.usage.images < standing.limits.images)
		return bytes_do_not_fit(&standing, bytes, err);
	return err_set(err, ERR_FORBIDDEN, "quota.images",
		"quota exceeded: %lld of %ld images: delete some, or ask the operator for more",
		standing.usage.images, standing.limits.images);
}

int quota_reserve(struct db *db, const struct quota_limits *limits, struct upload *upload,
	long long least, long long most, struct err *err)
{
	long long reserved;

	if (upload->reserved >= most)
		return 0;
	if (store_upload_reserve(db, upload, least, most, limits, &reserved, err) < 0)
		return -1;
	if (reserved < 0)
		return quota_refuse_bytes(
			db, upload->tenant, limits, least - upload->reserved, err);
	upload->reserved = reserved;
	return 0;
}

/* --- routes --- */

static json_t *item(long limit, long own, long long used)
{
	return json_pack("{s:I,s:b,s:I}", "limit", (json_int_t)limit, "by_operator", own >= 0,
		"used", (json_int_t)used);
}

static int answer(struct web_req *req, struct web_res *res, const char *tenant, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	struct standing standing;
	const struct quota_usage *usage = &standing.usage;
	const struct quota_limits *limits = &standing.limits, *own = &usage->limits;
	json_t *bytes;

	if (look_up(req->worker->db, tenant, &conf->limits, &standing, err) < 0)
		return -1;
	bytes = item(limits->bytes, own->bytes, usage->bytes);
	json_object_set_new(bytes, "reserved", json_integer(usage->reserved));
	res->json = json_pack("{s:s,s:o,s:o,s:o}", "tenant", tenant, "bytes", bytes, "images",
		item(limits->images, own->images, usage->images), "uploads",
		item(limits->uploads, own->uploads, usage->uploads));
	resource_etag(req, res, usage->revision);
	return 0;
}

int quota_self(struct web_req *req, struct web_res *res, struct err *err)
{
	return answer(req, res, req->principal->tenant, err);
}

static int must_operate(const struct web_req *req, const char *tenant, struct err *err)
{
	if (!principal_has_role(req->principal, "operator"))
		return err_set(err, ERR_FORBIDDEN, "auth.role_missing",
			"quotas are for the operators of the instance");
	if (!id_is(tenant, "tnt"))
		return err_set(err, ERR_NOT_FOUND, "tenant.not_found", "there is no tenant '%.48s'",
			tenant);
	return 0;
}

int quota_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *tenant = web_param(req, "tenant_id");

	return must_operate(req, tenant, err) < 0 ? -1 : answer(req, res, tenant, err);
}

struct quota_input {
	json_t *bytes, *images, *uploads;
};

static const struct json_field fields[] = {
	{ "bytes", JSON_FIELD_ANY, offsetof(struct quota_input, bytes), false, 0 },
	{ "images", JSON_FIELD_ANY, offsetof(struct quota_input, images), false, 0 },
	{ "uploads", JSON_FIELD_ANY, offsetof(struct quota_input, uploads), false, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* A number, or nothing: then the configuration's counts. */
static int read_limit(const json_t *value, long *ret_limit, struct err *err)
{
	*ret_limit = -1;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return err_set(err, ERR_INVALID, "quota.bad_limit",
			"a limit is a number that is not negative, or null");
	*ret_limit = (long)json_integer_value(value);
	return 0;
}

int quota_replace(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *tenant = web_param(req, "tenant_id");
	struct quota_input input = { .bytes = NULL };
	struct quota_limits limits;
	struct quota_usage usage;

	if (must_operate(req, tenant, err) < 0 ||
		json_decode(req->arena, req->json, fields, &input, err) < 0 ||
		read_limit(input.bytes, &limits.bytes, err) < 0 ||
		read_limit(input.images, &limits.images, err) < 0 ||
		read_limit(input.uploads, &limits.uploads, err) < 0 ||
		store_quota(req->worker->db, tenant, &usage, err) < 0 ||
		resource_if_match(req, usage.revision, err) < 0 ||
		store_quota_replace(req->worker->db, tenant, usage.revision, &limits, err) < 0)
		return -1;
	return answer(req, res, tenant, err);
}
