/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of `warm`: sandboxes that wait for somebody, and are nobody's until one is taken. */
#ifndef PROVISIONER_STORE_POOL_H
#define PROVISIONER_STORE_POOL_H

#include "services/provisioner/store.h"

extern const struct sql *const store_warm_claim, *const store_warm_release; /* of struct steps */

/* Texts live in the arena given. */
struct warm {
	const char *id, *template_id, *driver, *parameters, *initdata, *state;
	const char *ak, *activation_hash; /* NULL until its TPM introduced itself */
	const char *lease;
	long long template_version, vcpus, memory_mib;
	bool was_launched, boot_timed_out, has_rested; /* rested: a minute in this state */
};

/* One more of these unless there are `size`, somebody waits, or the host is full. */
int store_warm_add(struct db *db, const struct warm *warm, long long size,
	const struct capacity *host, bool *ret_added, struct err *err);
/* Those that are not of these templates ("id/version id/version …") go, and of each those beyond
 * its size; and one, when somebody has waited for room on the host. */
int store_warm_retire(struct db *db, const char *templates, struct err *err);
int store_warm_shrink(struct db *db, const char *template_id, long long size, struct err *err);
int store_warm_yield(struct db *db, const struct capacity *host, struct err *err);

/* sandbox.stale when it is not there (any more), is in another state, or the lease is another's. */
int store_warm_get(
	struct db *db, struct arena *arena, const char *id, struct warm *ret_warm, struct err *err);
int store_warm_secret(struct db *db, const struct warm *warm, const char *hash, struct err *err);
int store_warm_launched(struct db *db, const struct warm *warm, struct err *err);
int store_warm_change(struct db *db, const struct warm *warm, const char *to, struct err *err);
int store_warm_delete(struct db *db, const struct warm *warm, struct err *err);

/* By its secret's hash: *ret_found false when it is none of these. */
int store_warm_enrolment(struct db *db, struct arena *arena, const char *id, const char *hash,
	struct warm *ret_warm, bool *ret_found, struct err *err);
/* Its TPM's keys, and the hash of what it is to open: enrolment.other_keys. */
int store_warm_introduce(struct db *db, const struct warm *warm, const char *ek_certificate,
	const char *ak, const char *activation_hash, struct err *err);

/* One that fits becomes `sandbox`, the caller's, if its quotas have room and nobody of its tenant
 * waits: its id, or NULL. */
int store_warm_take(struct web_req *req, const struct sandbox *sandbox, const struct quota *usual,
	const char **ret_id, struct err *err);

#endif
