/* SPDX-License-Identifier: Apache-2.0 */
/*
 * API keys as they are shown: sr_<32 hex of the id>_<43 base64url>. The database has HMAC-SHA256 of
 * the key's SHA-256 under the pepper. A key that does not exist, is revoked, has expired or has
 * another secret fails in the same way: the same statements, the same comparison, the same
 * auth.invalid_client.
 */
#ifndef CERTREG_CREDENTIALS_H
#define CERTREG_CREDENTIALS_H

#include "lib/digest.h"
#include "lib/id.h"
#include "lib/web.h"
#include "services/certreg/certreg.h"
#include "services/certreg/store_tokens.h"

#define CREDENTIAL_TEXT_SIZE 80u /* "sr_" + 32 + "_" + 43 + NUL: exactly that */
#define CREDENTIAL_MAC_SIZE 65u	 /* hex, with NUL */

/* The id that a full API key carries; false when the text is not one. */
bool credential_id_of(const char *text, char ret_id[ID_SIZE]);
/* What is stored for a key whose SHA-256 text is `hash`. */
void credential_mac(
	const struct certreg *certreg, const char *hash, char ret_mac[CREDENTIAL_MAC_SIZE]);

/* In constant time; false for a NULL, which takes as long. */
bool credential_same_mac(const char *stored, const char mac[CREDENTIAL_MAC_SIZE]);

int credential_check(struct web_req *req, const char *key_id, const char *secret,
	struct credential *ret_credential, struct err *err);

/* What a token says of who asked for it: sub, key or crt, tenant, tenant_name, space, spaces,
 * roles; and cnf when the request shows a client certificate of that member (RFC 8705). */
int credential_claims(struct web_req *req, const struct credential *credential, json_t **ret_claims,
	struct err *err);
/* The one answer to all that is wrong with credentials. Returns -1. */
int credential_refuse(struct err *err);

/* User and password of an Authorization: Basic header, wiped with the request. auth.missing without
 * one. */
int credential_basic(
	struct web_req *req, const char **ret_user, const char **ret_password, struct err *err);

#endif
