/* SPDX-License-Identifier: Apache-2.0 */
/* Another API key for the profile's own one, under way or done: never is the only good key in the
 * air. The new one is on the disk before the server hears of it, and takes the old one's place only
 * when it was seen to work. */
#ifndef STRONGROOM_CLIENT_OWN_KEY_H
#define STRONGROOM_CLIENT_OWN_KEY_H

#include "client/session.h"

/* The old key ends `overlap_seconds` later. Goes on where one that was killed stopped. The new id,
 * caller frees. */
int own_key_rotate(struct session *session, long long overlap_seconds, char **ret_id,
	struct err *err) __attribute__((warn_unused_result));

#endif
