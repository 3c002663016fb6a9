/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed answers (CRL, OCSP) that may be given again. Found by a digest of all that they say, so
 * that a change is another answer, and forgotten at half of their life. Each digest has one of the
 * places there are, and a place holds so many bytes at most. Any thread.
 */
#ifndef CERTREG_ANSWERS_H
#define CERTREG_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/digest.h"

#define ANSWERS_LIFE_SECONDS 3600 /* from thisUpdate to nextUpdate */

struct answers;

struct answers *answers_new(size_t places, size_t max_bytes);
void answers_free(struct answers *answers);

/* A copy; NULL: there is none. */
const char *answers_get(struct answers *answers, const unsigned char key[DIGEST_SIZE],
	struct arena *arena, size_t *ret_len);
void answers_put(
	struct answers *answers, const unsigned char key[DIGEST_SIZE], const void *der, size_t len);

#endif
