/* SPDX-License-Identifier: Apache-2.0 */
/* Checking members' certificates: see the header. */
#include "services/certreg/client_certificates.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/jwt.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/assertions.h"
#include "services/certreg/ca.h"
#include "services/certreg/credentials.h"
#include "services/certreg/issuer.h"

#define ASSERTION_TYPE "client-authentication+jwt"

/* --- by signature --- */

static const char *audience_of(struct web_req *req, const json_t *claims)
{
	const char *base_url = req->worker->conf->base_url;

	return assertion_has(claims, "aud", base_url)
		       ? base_url
		       : arena_printf(req->arena, "%s/v1/token", base_url);
}

/* What the assertion says by itself. */
static int read_assertion(struct web_req *req, const char *assertion, const char *client_id,
	const char **ret_kid, const char **ret_subject, struct err *err)
{
	static const char *const algorithms[] = { "ES256", "ES384", "PS256", NULL };
	auto_json json_t *header = NULL, *claims = NULL;
	const char *subject, *kid;

	if (jwt_header(assertion, ASSERTION_TYPE, algorithms, &header, err) < 0 ||
		jwt_claims(assertion, &claims, err) < 0)
		return -1;
	subject = json_text(claims, "sub");
	kid = json_text(header, "kid");
	if (!kid || !subject || !id_is(subject, "crt") ||
		(client_id && strcmp(client_id, subject) != 0))
		return err_set(err, ERR_UNAUTHENTICATED, "auth.invalid_token",
			"the assertion must name a certificate by sub and its key by kid");
	if (assertion_claims_check(claims, subject, audience_of(req, claims), err) < 0)
		return -1;
	*ret_kid = arena_strdup(req->arena, kid);
	*ret_subject = arena_strdup(req->arena, subject);
	return 0;
}

/* jose.h verifies the flattened form, for all kinds of keys that people have. */
static json_t *flattened(const char *token)
{
	const char *body = strchr(token, '.') + 1, *tail = strchr(body, '.') + 1;

	return json_pack("{s:s%,s:s%,s:s}", "protected", token, (size_t)(body - 1 - token),
		"payload", body, (size_t)(tail - 1 - body), "signature", tail);
}

/* With no such certificate a key of ours does the same work, in vain. */
static int verify(struct web_req *req, const struct credential *credential, const char *assertion,
	json_t **ret_claims, struct err *err)
{
	static const char *const members[] = { "kid", NULL };
	auto_json json_t *jws = flattened(assertion), *header = NULL;
	auto_key EVP_PKEY *key = NULL;
	struct cert_info info;

	if (!credential) {
		key = ca_key(certreg_of(req->worker)->secrets->ca);
		EVP_PKEY_up_ref(key);
	} else if (cert_parse(credential->pem, strlen(credential->pem), &info, &key, NULL, NULL,
			   err) < 0)
		return -1;
	if (!jws || jose_verify(key, ASSERTION_TYPE, members, jws, &header, ret_claims, NULL) < 0 ||
		!credential)
		return credential_refuse(err);
	return 0;
}

int client_assertion_check(struct web_req *req, const char *assertion, const char *client_id,
	struct credential *ret_credential, struct err *err)
{
	struct credential credential = { .key = NULL };
	auto_json json_t *claims = NULL;
	const char *kid = NULL, *subject = NULL;
	bool found;

	if (read_assertion(req, assertion, client_id, &kid, &subject, err) < 0 ||
		auth_limit_attempt(req->worker->auth, req, subject, err) < 0 ||
		store_credential(req->worker->db, subject, req->arena, &credential, &found, err) <
			0)
		return -1;
	found = found && strcmp(credential.spki, kid) == 0;
	if (verify(req, found ? &credential : NULL, assertion, &claims, err) < 0)
		return -1;
	if (assertion_use(req, credential.tenant, credential.space, claims, err) < 0)
		return -1;
	*ret_credential = credential;
	return 0;
}

/* --- by handshake --- */

int client_certificate_check(struct web_req *req, const char *client_id,
	struct credential *ret_credential, struct err *err)
{
	char fingerprint[CODEC_HEX_SIZE(DIGEST_SIZE)];
	struct credential credential = { .key = NULL };
	unsigned char digest[DIGEST_SIZE];
	bool shown, found;

	if (auth_limit_attempt(req->worker->auth, req, client_id, err) < 0 ||
		auth_client_certificate(req, digest, &shown, err) < 0)
		return -1;
	if (!shown)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.certificate_missing",
			"no client certificate was shown in the TLS handshake");
	if (store_credential(req->worker->db, client_id, req->arena, &credential, &found, err) < 0)
		return -1;
	codec_hex(digest, sizeof(digest), fingerprint);
	if (!found || !digest_equal(credential.fingerprint, fingerprint, sizeof(fingerprint) - 1))
		return credential_refuse(err);
	*ret_credential = credential;
	return 0;
}
