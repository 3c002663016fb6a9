/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Challenges: the server's half of a proof of possession. One belongs to a member and a key (by
 * SPKI), lives five minutes, and is burnt by the first certificate that names it.
 */
#ifndef CERTREG_CHALLENGES_H
#define CERTREG_CHALLENGES_H

#include "lib/web.h"

#define CHALLENGES_ROUTE "POST /v1/challenges"

int challenge_create(struct web_req *req, struct web_res *res, struct err *err);

#endif
