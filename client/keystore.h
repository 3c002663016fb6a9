/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The project's keys at rest: each a flattened JWE to the profile's storage key, in keys/NAME.jwe,
 * 0600. The plaintext is a JSON object. .pbstate and .register name the files only.
 */
#ifndef STRONGROOM_CLIENT_KEYSTORE_H
#define STRONGROOM_CLIENT_KEYSTORE_H

#include <jansson.h>
#include <openssl/evp.h>

#include "lib/err.h"
#include "lib/jose.h"

/* `path` below keys/. Written whole or not at all. */
int keystore_write(const json_t *storage, const char *path, const json_t *secret, struct err *err)
	__attribute__((warn_unused_result));
/* keystore.missing, keystore.open. The result holds a secret; freed JSON is wiped (lib/jose_key.c).
 */
int keystore_read(const json_t *storage, const char *path, json_t **ret_secret, struct err *err)
	__attribute__((warn_unused_result));

/* A private key out of such a file, or out of a PEM file. keystore.open, cert.*. */
int keystore_read_key(const json_t *storage, const char *path, EVP_PKEY **ret_key, struct err *err)
	__attribute__((warn_unused_result));

/* {"key": <32 random bytes>} */
json_t *keystore_new_symmetric(void);
/* The 32 bytes of such an object. */
int keystore_symmetric(const json_t *secret, unsigned char ret_key[32], struct err *err);

#endif
