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

/* Keeps what trust_evidence_appraise() says beside the sandbox, whatever it is. `known`: without
 * vTPM CA and reference values. Nothing for a sandbox that is not measured. */
int verdict_store(struct web_req *req, const struct sandbox *sandbox, const json_t *evidence,
	const struct trust_expect *known, struct err *err);

#endif
