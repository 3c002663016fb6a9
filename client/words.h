/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as words that two people read to each other. */
#ifndef STRONGROOM_CLIENT_WORDS_H
#define STRONGROOM_CLIENT_WORDS_H

#include <stddef.h>

#define WORDS_LONGEST 12u /* letters of the longest word, and what separates it from the next */

/* The word for a byte at that place, counted from 0. */
const char *words_of(unsigned char byte, size_t place);
/* All of them, `a_line` on a line (0: all on one). Caller frees. */
char *words_text(const unsigned char *bytes, size_t len, size_t a_line);

#endif
