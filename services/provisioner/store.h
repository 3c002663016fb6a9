/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every database call of the provisioner. A sandbox's state changes through store_change(),
 * store_reboot(), store_enrol(), each guarded by the state and boot that the caller saw, and
 * store_admit() (store_quota.c) only.
 */
#ifndef PROVISIONER_STORE_H
#define PROVISIONER_STORE_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/resource.h"
#include "lib/service.h"

extern const struct sql *const store_forgets[];			  /* of struct service */
extern const struct sql *const store_claim, *const store_release; /* of struct steps */

/* A sandbox's row; texts live in the arena given. */
struct sandbox {
	const char *tenant, *space, *id, *name, *template_id, *driver, *parameters, *state, *claim,
		*initdata;
	const char *evidence, *verdict, *progress, *enc_jwk, *sig_jwk, *enc, *sig;
	const char *failure_code, *failure_detail, *created_by, *created_at, *updated_at,
		*expires_at;
	const char *lease; /* of the loop's step; NULL in a request */
	long long template_version, boot, launched_boot, revision;
	long long vcpus, memory_mib, weight, ttl_s, idle_s; /* ttl_s: of store_add() only */
	bool is_begun, boot_timed_out, has_expired, is_idle;
};

/* quota.queue_full when `most_queued` of the tenant's wait already; 0: any. */
int store_add(
	struct web_req *req, const struct sandbox *sandbox, long long most_queued, struct err *err);
/* sandbox.not_found; deleted ones are found by the loop only (`deleted`). */
int store_get(struct db *db, struct arena *arena, const char *tenant, const char *id,
	struct sandbox *ret_sandbox, struct err *err);
/* The same for reading: also another tenant's in one of the caller's spaces. */
int store_read(struct web_req *req, const char *id, struct sandbox *ret_sandbox, struct err *err);
int store_list(struct web_req *req, const struct page *page, json_t **ret_list, struct err *err);

/* sandbox.stale (409) when the row is no longer as `sandbox` says, or its lease is another's. */
int store_change(struct db *db, const struct sandbox *sandbox, const char *to,
	const char *failure_code, const char *failure_detail, struct err *err);
/* The next boot with this claim, in state `to`. */
int store_reboot(struct db *db, const struct sandbox *sandbox, const char *to, const char *claim,
	struct err *err);
int store_enrol(struct db *db, const struct sandbox *sandbox,
	struct err *err); /* evidence and keys of `sandbox` */
/* Whether the step still has its lease; the three refuse with sandbox.stale. */
int store_holds(struct db *db, const struct sandbox *sandbox, struct err *err);
int store_secret(struct db *db, const struct sandbox *sandbox, const char *hash, struct err *err);
int store_launched(struct db *db, const struct sandbox *sandbox, struct err *err);
/* A run is in it: its idle time begins anew. */
int store_used(struct db *db, const struct sandbox *sandbox, struct err *err);

/* Limits of a tenant and of each of its members; 0: none, -1 in store_quota_put(): the usual. */
struct quota {
	long long sandboxes, vcpus, memory_mib, weight, member_sandboxes, member_weight, lifetime_s;
};
struct capacity {
	long long sandboxes, vcpus, memory_mib;
};

/* The next one whose turn it is gets its place: *ret_id NULL when there is none. */
int store_admit(struct db *db, struct arena *arena, const struct quota *quota,
	const struct capacity *host, const char **ret_id, struct err *err);
int store_quota_get(struct db *db, const char *tenant, const struct quota *usual,
	struct quota *ret_quota, struct err *err);
int store_quota_put(
	struct web_req *req, const char *tenant, const struct quota *quota, struct err *err);
int store_quota_usage(struct db *db, const char *tenant, json_t **ret_usage, struct err *err);
int store_queue(struct db *db, const struct sandbox *sandbox, const struct quota *usual,
	json_t **ret_queue, struct err *err);

/* Sweeps. */
/* The tenant of a sandbox, by its enrolment secret's hash or by its id alone: *ret_tenant NULL when
 * there is none. */
int store_sweep_enrolment(struct db *db, struct arena *arena, const char *id, const char *hash,
	const char **ret_tenant, struct err *err);
int store_sweep_tenant(struct db *db, struct arena *arena, const char *id, const char **ret_tenant,
	struct err *err);
/* No step is in hand: this copy starts. */
int store_sweep_begin(struct db *db, struct err *err);
int store_sweep_exists(struct db *db, const char *id, bool *ret_exists, struct err *err);

#endif
