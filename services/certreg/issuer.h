/* SPDX-License-Identifier: Apache-2.0 */
/* The token issuer: its JWKS, and the claims that every token has. */
#ifndef CERTREG_ISSUER_H
#define CERTREG_ISSUER_H

#include <jansson.h>
#include <openssl/evp.h>

#include "lib/err.h"
#include "services/certreg/certreg.h"

#define TOKEN_SECONDS 600
#define REGISTRY_TOKEN_SECONDS 300

/* {"keys":[…]} */
json_t *issuer_jwks(const struct certreg *certreg);
/* Adds iss, aud, iat (unless it is there), exp and jti to the claims (which stay the caller's) and
 * signs them. The token is wiped with the request. */
int issuer_sign(struct web_req *req, const char *typ, const char *audience, long long expires_at,
	json_t *claims, const char **ret_token, struct err *err);
long long issuer_now(void); /* Unix seconds */

#endif
