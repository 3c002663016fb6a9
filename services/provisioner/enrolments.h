/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a booted agent becomes a sandbox's machine: with the enrolment secret of this boot it fetches
 * the claim and registers the keys that were born behind it. The secret lives 5 minutes from the
 * launch, or from the moment when somebody takes a sandbox of the pool, and is bound to the first
 * keys presented.
 */
#ifndef PROVISIONER_ENROLMENTS_H
#define PROVISIONER_ENROLMENTS_H

#include "lib/web.h"
#include "services/provisioner/store.h"
#include "services/provisioner/store_pool.h"

/* Before a body is taken: the secret, or enrolment.denied. */
web_handler enrolment_admit;
web_handler enrolment_claim; /* in enrolment_claim.c */
web_handler enrolment_create;

/* Whose agent asks: a member's sandbox, or one that waits for somebody. */
struct enrolling {
	bool is_warm;
	struct sandbox sandbox;
	struct warm warm;
};

/* By the path and a living secret: enrolment.denied. */
int enrolment_find(struct web_req *req, struct enrolling *ret_who, struct err *err);

#endif
