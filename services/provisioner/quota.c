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

int quota_queue(
	struct web_req *req, const struct sandbox *sandbox, json_t **ret_queue, struct err *err)
{
	const struct quota usual = usual_of(req->worker->program);

	return store_queue(req->worker->db, sandbox, &usual, ret_queue, err);
}

static int answer(struct web_req *req, struct web_res *res, const char *tenant, struct err *err)
{
	const struct quota usual = usual_of(req->worker->program);
	struct quota quota;
	json_t *usage;

	if (store_quota_get(req->worker->db, tenant, &usual, &quota, err) < 0 ||
		store_quota_usage(req->worker->db, tenant, &usage, err) < 0)
		return -1;
	res->json = json_pack("{s:s,s:{s:I,s:I,s:I,s:I,s:I,s:I,s:I},s:o}", "tenant", tenant,
		"limits", "sandboxes", (json_int_t)quota.sandboxes, "vcpus",
		(json_int_t)quota.vcpus, "memory_mib", (json_int_t)quota.memory_mib, "weight",
		(json_int_t)quota.weight, "member_sandboxes", (json_int_t)quota.member_sandboxes,
		"member_weight", (json_int_t)quota.member_weight, "lifetime_s",
		(json_int_t)quota.lifetime_s, "used", usage);
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
