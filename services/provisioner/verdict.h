/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the provisioner itself thinks of a measured sandbox's evidence, against values predicted
 * from its own files. For information only: who has something to lose verifies it himself, with
 * values that he did not get from here.
 */
#ifndef PROVISIONER_VERDICT_H
#define PROVISIONER_VERDICT_H

#include <jansson.h>

#include "lib/web.h"
#include "proto/trust.h"
#include "services/provisioner/store.h"

/* What must be true of its evidence with this nonce, but vTPM CA and reference values. `claim`: the
 * sandbox's, parsed; both live as long as the caller's. */
struct trust_expect verdict_expect(
	const struct sandbox *sandbox, const json_t *claim, const char *nonce);

/* Keeps what trust_evidence_appraise() says beside the sandbox, whatever it is. Nothing for a
 * sandbox that is not measured. */
int verdict_store(struct web_req *req, const struct sandbox *sandbox, const json_t *evidence,
	const struct trust_expect *known, struct err *err);

/* The same as an EAR, a JWT of type `ear+jwt` for the sandbox's tenant by this service's key, or
 * null without a verdict (NULL). New reference. */
int verdict_ear(struct web_req *req, const struct sandbox *sandbox, const json_t *evidence,
	const json_t *verdict, json_t **ret_ear, struct err *err);
/* Of a member's question: his nonce, and what his credential proves only he knows. */
int verdict_answer_ear(struct web_req *req, const char *sandbox_id, const char *nonce,
	const json_t *evidence, json_t **ret_ear, struct err *err);

web_handler verdict_keys; /* public: JWKS of who signs these */

#endif
