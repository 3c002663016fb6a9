/* SPDX-License-Identifier: Apache-2.0 */
/* Registering a certificate with proof of possession (trust.md 2). */
#ifndef STRONGROOM_CLIENT_CERTIFICATE_H
#define STRONGROOM_CLIENT_CERTIFICATE_H

#include <openssl/evp.h>

#include "client/api.h"

/* The message is built here from what the client knows itself; a server's bytes are never signed as
 * they come. A key that the tenant knows already gives the record that is there. ret_id: caller
 * frees. */
int certificate_register(struct api *api, const char *pem_path, const char *name, EVP_PKEY *key,
	char **ret_id, struct err *err) __attribute__((warn_unused_result));

/* The certificate `id` is replaced by the one in the file, proven by both keys; the old one is good
 * for `overlap_seconds` more (-1: as long as the server likes). ret_record: the new one's. */
struct certificate_rotation {
	const char *id, *pem_path;
	EVP_PKEY *key, *old_key;
	long long overlap_seconds;
};
int certificate_rotate(struct api *api, const struct certificate_rotation *rotation,
	json_t **ret_record, struct err *err) __attribute__((warn_unused_result));

#endif
