/* SPDX-License-Identifier: Apache-2.0 */
/* What an error code means and what to do about it, out of proto/errors. */
#ifndef STRONGROOM_ERROR_TEXT_H
#define STRONGROOM_ERROR_TEXT_H

#include <stddef.h>

const char *error_text_help(const char *code);	  /* NULL for an unknown code */
const char *error_text_meaning(const char *code); /* NULL for an unknown code */
/* The n-th code of all, from 0; NULL behind the last. */
const char *error_text_code(size_t n);

#endif
