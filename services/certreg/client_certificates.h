/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registered certificates as credentials of their member: by an assertion that the certificate's
 * key signed (RFC 7523), or shown to the edge in the TLS handshake (RFC 8705 2.2). A certificate
 * that does not exist, is revoked, has expired, or is another one fails in the same way, with the
 * same statements: auth.invalid_client.
 */
#ifndef CERTREG_CLIENT_CERTIFICATES_H
#define CERTREG_CLIENT_CERTIFICATES_H

#include "lib/web.h"
#include "services/certreg/store_tokens.h"

#define CLIENT_ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

/* `client_id` is the form's, or NULL. Codes: those of assertions.h and auth.invalid_client. */
int client_assertion_check(struct web_req *req, const char *assertion, const char *client_id,
	struct credential *ret_credential, struct err *err);
int client_certificate_check(struct web_req *req, const char *client_id,
	struct credential *ret_credential, struct err *err);

#endif
