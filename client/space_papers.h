/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a member of a space is there by papers that hold, and by whose keys. */
#ifndef STRONGROOM_CLIENT_SPACE_PAPERS_H
#define STRONGROOM_CLIENT_SPACE_PAPERS_H

#include <jansson.h>

#include "proto/trust.h"

/* A sentence about one of the `members` of a space, as the server shows it; caller frees. `own` is
 * the name of our tenant. */
char *space_papers_verdict(
	const json_t *peers, const json_t *member, const char *space, const char *own);

#endif
