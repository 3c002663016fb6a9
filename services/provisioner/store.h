/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every database call of the provisioner. A sandbox's state changes through store_change(),
 * store_reboot() and store_enrol() only, each guarded by the state and boot that the caller saw.
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
	const char *tenant, *space, *id, *name, *template_id, *parameters, *state, *claim,
		*initdata;
	const char *evidence, *verdict, *enc_jwk, *sig_jwk, *enc, *sig;
	const char *failure_code, *failure_detail, *created_by, *created_at, *updated_at;
	long long template_version, boot, launched_boot, revision;
	bool boot_timed_out;
};

int store_add(struct web_req *req, const struct sandbox *sandbox, struct err *err);
/* sandbox.not_found; deleted ones are found by the loop only (`deleted`). */
int store_get(struct db *db, struct arena *arena, const char *tenant, const char *id,
	struct sandbox *ret_sandbox, struct err *err);
int store_list(struct web_req *req, const struct page *page, json_t **ret_list, struct err *err);

/* sandbox.stale (409) when the row is no longer as `sandbox` says. */
int store_change(struct db *db, const struct sandbox *sandbox, const char *to,
	const char *failure_code, const char *failure_detail, struct err *err);
int store_reboot(struct db *db, const struct sandbox *sandbox, const char *claim, struct err *err);
int store_enrol(struct db *db, const struct sandbox *sandbox,
	struct err *err); /* evidence and keys of `sandbox` */
int store_secret(struct db *db, const struct sandbox *sandbox, const char *hash, struct err *err);
int store_launched(struct db *db, const struct sandbox *sandbox, struct err *err);

/* Sweeps. */
/* The tenant of a sandbox, by its enrolment secret's hash or by its id alone: *ret_tenant NULL when
 * there is none. */
int store_sweep_enrolment(struct db *db, struct arena *arena, const char *id, const char *hash,
	const char **ret_tenant, struct err *err);
int store_sweep_tenant(struct db *db, struct arena *arena, const char *id, const char **ret_tenant,
	struct err *err);
int store_sweep_exists(struct db *db, const char *id, bool *ret_exists, struct err *err);

#endif
