/* SPDX-License-Identifier: Apache-2.0 */
/* Key packets of the kind JWE (RFC 7516) as ocicrypt's go-jose writes and reads them: A256GCM, the
 * content key by RSA-OAEP or ECDH-ES with AES key wrap. */
#ifndef STRONGROOM_OCICRYPT_PACKET_H
#define STRONGROOM_OCICRYPT_PACKET_H

#include <jansson.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

#define OCICRYPT_ECDH "ECDH-ES+A256KW"
#define OCICRYPT_CEK 32u
#define OCICRYPT_MAX_WRAPPED 4096u /* bytes of a wrapped key, and of what it opens */

/* --- one content key (ocicrypt_wrap.c) --- */

/* `alg`, and what it needs, go into `header`; *ret_text is base64url. */
int ocicrypt_wrap(EVP_PKEY *key, const unsigned char cek[OCICRYPT_CEK], json_t *header,
	char **ret_text, struct err *err);
bool ocicrypt_unwrap(EVP_PKEY *key, const json_t *header, const unsigned char *wrapped, size_t len,
	unsigned char ret_cek[OCICRYPT_CEK]);

/* --- packets (ocicrypt_jwe.c) --- */

/* One recipient, flattened; the caller frees *ret_text. */
int ocicrypt_jwe_seal(EVP_PKEY *key, const void *plain, size_t len, char **ret_text,
	struct err *err) __attribute__((warn_unused_result));
/* Flattened or general; any recipient that the key opens. The plaintext is NUL-terminated behind
 * its last byte; wipe it. */
bool ocicrypt_jwe_open(EVP_PKEY *key, const char *text, size_t text_len, unsigned char **ret_plain,
	size_t *ret_len);
/* The JSON object of a packet, if its members are those of a JWE; NULL otherwise. */
json_t *ocicrypt_jwe_parse(const char *text, size_t len, json_t **ret_header);

#endif
