/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hex (lower case), base64 (RFC 4648 section 4, padded) and base64url (section 5, no padding).
 * Decoders are strict: one spelling per value, no white space. *_text results are NUL-terminated
 * and the caller frees them.
 */
#ifndef STRONGROOM_CODEC_H
#define STRONGROOM_CODEC_H

#include <stddef.h>

#include "lib/err.h"

#define CODEC_HEX_SIZE(n) (2 * (n) + 1) /* with the NUL */
#define CODEC_B64_SIZE(n) (4 * (((n) + 2) / 3) + 1)

void codec_hex(const void *data, size_t len, char *ret_text);
int codec_hex_decode(
	const char *text, void *ret_data, size_t len, struct err *err); /* exactly len bytes */

char *codec_b64_text(const void *data, size_t len);
char *codec_b64url_text(const void *data, size_t len);
char *codec_b64_lines(const void *data, size_t len); /* base64 in lines of 64, as PEM has it */

/* -1 with code "encoding.base64" on any deviation; the caller frees *ret_data. */
int codec_b64_decode(const char *text, size_t text_len, unsigned char **ret_data, size_t *ret_len,
	struct err *err);
int codec_b64url_decode(const char *text, size_t text_len, unsigned char **ret_data,
	size_t *ret_len, struct err *err);
/* Exactly `len` bytes into the caller's buffer. */
int codec_b64url_decode_fixed(const char *text, void *ret_data, size_t len, struct err *err);

#endif
