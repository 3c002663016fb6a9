/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls about a sandbox's vTPM and about members' questions to its agent. */
#ifndef PROVISIONER_STORE_ATTESTATIONS_H
#define PROVISIONER_STORE_ATTESTATIONS_H

#include "services/provisioner/store.h"

/* Who the vTPM of this boot said it is; texts live in the arena. */
struct vtpm_row {
	const char *ek_certificate, *ak, *activation_hash;
};

/* enrolment.other_keys when another attestation key was first. */
int store_vtpm_put(
	struct db *db, const struct sandbox *sandbox, const struct vtpm_row *row, struct err *err);
/* Members are NULL when nobody introduced himself in this boot. */
int store_vtpm_get(struct db *db, struct arena *arena, const struct sandbox *sandbox,
	struct vtpm_row *ret_row, struct err *err);
int store_vtpm_verdict(
	struct db *db, const struct sandbox *sandbox, const char *verdict, struct err *err);

struct attestation {
	const char *id, *state, *nonce, *credential, *activated, *evidence;
	const char *failure_code, *failure_detail, *created_at, *updated_at;
	long long boot, revision;
};

/* The member's question with this nonce, made or found: its id. attestation.too_many */
int store_attestation_add(struct web_req *req, const struct sandbox *sandbox, const char *nonce,
	const char *credential, const char **ret_id, struct err *err);
/* attestation.not_found */
int store_attestation_get(struct web_req *req, const char *sandbox_id, const char *id,
	struct attestation *ret_attestation, struct err *err);
/* For the agent of that sandbox and boot: the oldest that waits, or *ret_found false. */
int store_attestation_next(
	struct web_req *req, struct attestation *ret_attestation, bool *ret_found, struct err *err);
/* The agent's answer; the first one counts. attestation.not_found */
int store_attestation_answer(
	struct web_req *req, const struct attestation *attestation, struct err *err);

#endif
