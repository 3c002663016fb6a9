/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of a dataset that lies elsewhere: the query string of its URL, as pre-signed URLs
 * have one, and the key of its content. They are sealed to their owner's own key, for one location;
 * the service keeps them unread, and the owner's client opens them to make grants.
 */
#ifndef STRONGROOM_CREDENTIALS_H
#define STRONGROOM_CREDENTIALS_H

#include <jansson.h>

#include "lib/err.h"

/* What a server may look at: the form of the JWE, and that it is for this URL.
 * credentials.invalid, credentials.wrong_location */
int credentials_check(const json_t *jwe, const char *url, struct err *err)
	__attribute__((warn_unused_result));

/* {"query_string": base64 of what may stand behind a URL's '?' | null, "encryption": {"key": 64
 * hex} | null}. credentials.bad_secret */
int credentials_secret_check(const json_t *secret, struct err *err)
	__attribute__((warn_unused_result));

/* One of both at least. */
int credentials_seal(const json_t *public_jwk, const char *url, const json_t *secret,
	json_t **ret_jwe, struct err *err) __attribute__((warn_unused_result));
/* The secret; freed JSON is wiped (lib/jose_key.c). credentials.open */
int credentials_open(const json_t *private_jwk, const char *url, const json_t *jwe,
	json_t **ret_secret, struct err *err) __attribute__((warn_unused_result));

#endif
