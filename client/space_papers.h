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
/* Who reads the papers: his pins, his tenant's name, and his own key's SPKI digest, or NULL. */
struct space_reader {
	const json_t *peers;
	const char *tenant, *spki;
};
/* A sentence about one of the members; caller frees. That we invited somebody it says of our own
 * key alone: whoever signs in our tenant's name may be another. */
char *space_papers_verdict(const struct space_reader *reader, const json_t *member,
	const json_t *founder, const char *space);

#endif
