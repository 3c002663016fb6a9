/* SPDX-License-Identifier: Apache-2.0 */
/* Admission, and handlers of /v1/quotas. */
#include "services/provisioner/quota.h"

#include "lib/auth.h"
#include "lib/crash.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/wake.h"
#include "services/provisioner/config.h"
#include "services/provisioner/store_pool.h"

#define MOST 1000000000ll

static struct quota usual_of(const struct provisioner_conf *conf)
{
	return (struct quota) { conf->tenant_sandboxes, conf->tenant_vcpus, conf->tenant_memory_mib,
		conf->tenant_weight, conf->member_sandboxes, conf->member_weight,
		conf->lifetime_s };
}

int quota_admit(struct worker *worker, struct err *err)
{
	const struct provisioner_conf *conf = worker->program;
	const struct capacity host = { conf->host_sandboxes, conf->host_vcpus,
		conf->host_memory_mib };
	const struct quota usual = usual_of(conf);
	auto_arena struct arena *arena = arena_new();
	const char *id;

	do {
		if (store_admit(worker->db, arena, &usual, &host, &id, err) < 0)
			return -1;
		if (!id)
			continue;
		crash_point("after", "admit");
		log_info("sandbox admitted", "sandbox", id, NULL);
		wake_ring(worker->wake, "web", id);
		wake_ring(worker->wake, "sandbox", id);
	} while (id);
	return 0;
}

/* 0 is no limit. */
static bool fits(long long amount, long long most)
{
	return most == 0 || amount <= most;
}

int quota_check(struct web_req *req, struct sandbox *sandbox, struct err *err)
{
	const struct provisioner_conf *conf = req->worker->program;
	const struct quota usual = usual_of(conf);
	struct quota quota;

	if (store_quota_get(req->worker->db, req->principal->tenant, &usual, &quota, err) < 0)
		return -1;
	if (!fits(sandbox->vcpus, quota.vcpus) || !fits(sandbox->vcpus, conf->host_vcpus) ||
		!fits(sandbox->memory_mib, quota.memory_mib) ||
		!fits(sandbox->memory_mib, conf->host_memory_mib) ||
		!fits(sandbox->weight, quota.weight) || !fits(sandbox->weight, quota.member_weight))
		return err_set(err, ERR_UNPROCESSABLE, "quota.too_large",
			"%lld processors, %lld MiB and weight %lld are more than the quota as a "
			"whole",
			sandbox->vcpus, sandbox->memory_mib, sandbox->weight);
	if (sandbox->ttl_s == 0)
		sandbox->ttl_s = quota.lifetime_s;
	if (!fits(sandbox->ttl_s, quota.lifetime_s))
		return err_set(err, ERR_UNPROCESSABLE, "quota.lifetime",
			"a sandbox of this tenant lives for %lld s at most", quota.lifetime_s);
	return 0;
}

int quota_take(
	struct web_req *req, const struct sandbox *sandbox, const char **ret_id, struct err *err)
{
	const struct provisioner_conf *conf = req->worker->program;
	const struct quota usual = usual_of(conf);

	*ret_id = NULL;
	if (!*conf->pool)
		return 0;
	crash_point("before", "take");
	if (store_warm_take(req, sandbox, &usual, ret_id, err) < 0)
		return -1;
	crash_point("after", "take");
	if (*ret_id) /* its agent waits for the claim */
		wake_ring(req->worker->wake, "web", *ret_id);
	return 0;
}

int quota_queue(
	struct web_req *req, const struct sandbox *sandbox, json_t **ret_queue, struct err *err)
{
	const struct quota usual = usual_of(req->worker->program);

	return store_queue(req->worker->db, sandbox, &usual, ret_queue, err);
}

#define LIMIT(name)                                                                                \
	{                                                                                          \
#name, JSON_FIELD_COUNT, offsetof(struct quota, name), false, MOST                 \
	}

static const struct json_field fields[] = {
	LIMIT(sandboxes),
	LIMIT(vcpus),
	LIMIT(memory_mib),
	LIMIT(weight),
	LIMIT(member_sandboxes),
	LIMIT(member_weight),
	LIMIT(lifetime_s),
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static long long limit_in(const struct quota *quota, const struct json_field *field)
{
	return *(const long long *)((const char *)quota + field->offset);
}

static int answer(struct web_req *req, struct web_res *res, const char *tenant, struct err *err)
{
	const struct quota usual = usual_of(req->worker->program),
			   none = { -1, -1, -1, -1, -1, -1, -1 };
	json_t *usage, *limits = json_object(), *by_operator = json_array();
	struct quota quota, own;

	res->json = json_pack(
		"{s:s,s:o,s:o}", "tenant", tenant, "limits", limits, "by_operator", by_operator);
	if (store_quota_get(req->worker->db, tenant, &usual, &quota, err) < 0 ||
		store_quota_get(req->worker->db, tenant, &none, &own, err) < 0 ||
		store_quota_usage(req->worker->db, tenant, &usage, err) < 0)
		return -1;
	for (const struct json_field *field = fields; field->name; field++) {
		json_object_set_new(limits, field->name, json_integer(limit_in(&quota, field)));
		if (limit_in(&own, field) >= 0)
			json_array_append_new(by_operator, json_string(field->name));
	}
	json_object_set_new(res->json, "used", usage);
	return 0;
}

int quota_own(struct web_req *req, struct web_res *res, struct err *err)
{
	return answer(req, res, req->principal->tenant, err);
}

static int tenant_of(const struct web_req *req, const char **ret_tenant, struct err *err)
{
	*ret_tenant = web_param(req, "tenant_id");
	if (principal_need_role(req->principal, "operator", err) < 0)
		return -1;
	if (id_is(*ret_tenant, "tnt"))
		return 0;
	return err_set(
		err, ERR_NOT_FOUND, "quota.not_found", "'%s' is no tenant's id", *ret_tenant);
}

int quota_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *tenant;

	if (tenant_of(req, &tenant, err) < 0)
		return -1;
	return answer(req, res, tenant, err);
}

/* A limit that is left out is the configuration's again. */
int quota_put(struct web_req *req, struct web_res *res, struct err *err)
{
	struct quota quota = { -1, -1, -1, -1, -1, -1, -1 };
	const char *tenant;

	if (tenant_of(req, &tenant, err) < 0 ||
		json_decode(req->arena, req->json, fields, &quota, err) < 0 ||
		store_quota_put(req, tenant, &quota, err) < 0)
		return -1;
	wake_ring(req->worker->wake, "sandbox", tenant);
	return answer(req, res, tenant, err);
}
