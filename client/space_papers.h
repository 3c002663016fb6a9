/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a member of a space is there by papers that hold, and by whose keys. */
#ifndef STRONGROOM_CLIENT_SPACE_PAPERS_H
#define STRONGROOM_CLIENT_SPACE_PAPERS_H

#include <jansson.h>

#include "proto/trust.h"

/* Who of the `members` of a space, as the server shows them, is its founder: ourselves if it says
 * so of us, else the one that our own invitation names. NULL if there is none. `own` is the name of
 * our tenant. */
const json_t *space_papers_founder(const json_t *members, const char *space, const char *own);
/* A sentence about one of the members; caller frees. */
char *space_papers_verdict(const json_t *peers, const json_t *member, const json_t *founder,
	const char *space, const char *own);

#endif
