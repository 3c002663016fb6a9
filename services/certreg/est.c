/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks, for which key, and the certificate that comes of it. */
#include "services/certreg/est.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/auth.h"
#include "lib/codec.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/ca.h"
#include "services/certreg/certificates.h"
#include "services/certreg/credentials.h"
#include "services/certreg/names.h"
#include "services/certreg/roles.h"
#include "services/certreg/store_certificates.h"

#define OVERLAP_SECONDS 86400
#define PKCS7_TYPE "application/pkcs7-mime; smime-type=certs-only"

static const struct ca *ca_of(const struct web_req *req)
{
	return certreg_of(req->worker)->secrets->ca;
}

/* --- who --- */

static void release_claims(void *claims)
{
	json_decref(claims);
}

/* `credential` is what the audit record names: {"key":…} or {"crt":…}, as in a token. */
static struct principal *new_principal(
	const struct web_req *req, const char *kind, const char *credential)
{
	struct principal *who = arena_alloc(req->arena, sizeof(*who));
	json_t *claims = json_pack("{s:s}", kind, credential);

	arena_defer(req->arena, release_claims, claims);
	who->kind = WEB_MEMBER;
	who->claims = claims;
	return who;
}

/* The API key itself; the user name may be its id or anything else, as at `docker login`. */
static int by_key(struct web_req *req, struct err *err)
{
	struct credential credential;
	struct principal *who;
	const char *user, *password;
	char id[ID_SIZE];

	if (credential_basic(req, &user, &password, err) < 0)
		return -1;
	if (credential_id_of(password, id))
		user = id;
	if (credential_check(req, user, password, &credential, err) < 0)
		return -1;
	if (!roles_have(credential.scopes, "write"))
		return err_set(err, ERR_FORBIDDEN, "auth.scope_missing", "needs scope 'write'");
	who = new_principal(req, "key", credential.key);
	who->subject = credential.member;
	who->tenant = credential.tenant;
	who->tenant_name = credential.tenant_name;
	who->space = credential.space;
	who->roles = credential.roles;
	who->scope = credential.scopes;
	req->principal = who;
	return 0;
}

static int authenticate(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *header = web_header(req, "Authorization");
	int result;

	if (header && strncasecmp(header, "Bearer ", 7) == 0)
		result = auth_check(
			req->worker->auth, req, WEB_MEMBER, "write", &req->principal, err);
	else
		result = by_key(req, err);
	if (result < 0 && err->kind == ERR_UNAUTHENTICATED)
		web_header_add(
			res, "WWW-Authenticate", "Basic realm=\"strongroom\", charset=\"UTF-8\"");
	return result;
}

/* The certificate of the connection, when our CA issued it, it is active, and so is its member. */
static int by_certificate(struct web_req *req, struct certificate *ret_old, struct err *err)
{
	char fingerprint[CERT_FINGERPRINT_SIZE];
	unsigned char digest[DIGEST_SIZE];
	struct principal *who;
	bool shown, found;

	if (auth_client_certificate(req, digest, &shown, err) < 0)
		return -1;
	if (!shown)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.certificate_missing",
			"no client certificate was shown in the TLS handshake");
	codec_hex(digest, sizeof(digest), fingerprint);
	if (store_certificate_issued(
		    req->worker->db, fingerprint, req->arena, ret_old, &found, err) < 0)
		return -1;
	if (!found || strcmp(ret_old->state, "active") != 0 ||
		strcmp(ret_old->member_state, "active") != 0)
		return credential_refuse(err);
	who = new_principal(req, "crt", ret_old->id);
	who->subject = ret_old->member;
	who->tenant = ret_old->tenant;
	who->tenant_name = ret_old->tenant_name;
	who->space = ret_old->space;
	req->principal = who;
	return 0;
}

/* --- for what --- */

/* Base64 in lines of any length. */
static int read_request(struct web_req *req, struct cert_request *ret_request, struct err *err)
{
	const char *type = web_header(req, "Content-Type");
	char *text = arena_alloc(req->arena, req->body_len + 1), *end = text;
	auto_free unsigned char *der = NULL;
	size_t len = 0;

	if (!type || strncasecmp(type, "application/pkcs10", 18) != 0 ||
		(type[18] && !strchr("; ", type[18])))
		return err_set(err, ERR_UNSUPPORTED_TYPE, "est.not_pkcs10",
			"the body must be application/pkcs10");
	for (size_t i = 0; i < req->body_len; i++) {
		if (!strchr(" \t\r\n", req->body[i]) || !req->body[i])
			*end++ = (char)req->body[i];
	}
	if (codec_b64_decode(text, (size_t)(end - text), &der, &len, NULL) < 0)
		return err_set(err, ERR_INVALID, "est.not_base64", "the body must be base64");
	return cert_request_parse(der, len, ret_request, err);
}

static int check_name(const struct cert_request *request, struct err *err)
{
	if (name_check(request->common_name, NULL) < 0)
		return err_set(err, ERR_UNPROCESSABLE, "est.no_name",
			"the request needs one CN of 1 to 64 printable characters");
	return 0;
}

/* --- what comes of it --- */

static int answer(struct web_req *req, struct web_res *res, const void *der, size_t len)
{
	auto_free char *text = ca_certs_only(der, len);

	res->text = arena_strdup(req->arena, text);
	res->text_len = strlen(text);
	res->content_type = PKCS7_TYPE;
	web_header_add(res, "Content-Transfer-Encoding", "base64");
	return 0;
}

/* A machine that asks again with the same key, since the answer was lost, gets the same. */
static int answer_known(struct web_req *req, struct web_res *res,
	const struct certificate *certificate, struct err *err)
{
	auto_free unsigned char *der = NULL;
	size_t len;

	if (strcmp(certificate->state, "revoked") == 0)
		return err_set(err, ERR_CONFLICT, "certificate.revoked",
			"this key was revoked: make another");
	if (strcmp(certificate->source, CERTIFICATE_ISSUED) != 0 ||
		strcmp(certificate->state, "active") != 0 ||
		strcmp(certificate->member, req->principal->subject) != 0)
		return err_set(err, ERR_CONFLICT, "certificate.key_known",
			"this key has a record already: make another key");
	if (cert_der(certificate->pem, strlen(certificate->pem), &der, &len, err) < 0)
		return -1;
	return answer(req, res, der, len);
}

/* --- a certificate in the making --- */

struct enrolment {
	const struct principal *who;
	struct ca_leaf leaf;
	struct registration registration;
	char id[ID_SIZE];
};

static void release_leaf(void *leaf)
{
	ca_leaf_release(leaf);
}

/* Not told to the mirror: its walk adds what machines enrolled. */
static int make(struct web_req *req, const struct cert_request *request,
	const struct registration *wanted, struct enrolment **ret_enrolment, struct err *err)
{
	struct enrolment *enrolment = arena_alloc(req->arena, sizeof(*enrolment));

	*enrolment = (struct enrolment) { .who = req->principal, .registration = *wanted };
	if (check_name(request, err) < 0 ||
		ca_issue(ca_of(req), request, req->principal->tenant_name, request->common_name,
			&enrolment->leaf, err) < 0)
		return -1;
	arena_defer(req->arena, release_leaf, &enrolment->leaf);
	id_new("crt", enrolment->id);
	enrolment->registration.id = enrolment->id;
	enrolment->registration.source = CERTIFICATE_ISSUED;
	enrolment->registration.info = &enrolment->leaf.info;
	enrolment->registration.pem =
		certificate_pem(req->arena, enrolment->leaf.der, enrolment->leaf.der_len);
	if (!enrolment->registration.name)
		enrolment->registration.name =
			certificate_default_name(req->arena, request->common_name, request->spki);
	*ret_enrolment = enrolment;
	return 0;
}

static int keep(struct web_req *req, struct web_res *res, const struct enrolment *enrolment,
	struct err *err)
{
	const struct registration *registration = &enrolment->registration;
	struct certificate certificate;
	bool is_new;

	if ((registration->replaces ? store_certificate_add(req->worker->db, req, registration,
					      &certificate, &is_new, err)
				    : store_certificate_issue(req->worker->db, req, registration,
					      &certificate, &is_new, err)) < 0)
		return -1;
	return is_new ? answer(req, res, enrolment->leaf.der, enrolment->leaf.der_len)
		      : answer_known(req, res, &certificate, err);
}

int est_cacerts(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)err;
	res->text = ca_certificates_text(ca_of(req));
	res->text_len = strlen(res->text);
	res->content_type = PKCS7_TYPE;
	web_header_add(res, "Content-Transfer-Encoding", "base64");
	return 0;
}

static int prepare(struct web_req *req, struct web_res *res, void **ret_work, struct err *err)
{
	const struct registration wanted = { .name = NULL };
	auto_request request = { .key = NULL };
	struct enrolment *enrolment;

	if (authenticate(req, res, err) < 0 || read_request(req, &request, err) < 0 ||
		make(req, &request, &wanted, &enrolment, err) < 0)
		return -1;
	*ret_work = enrolment;
	return 0;
}

/* A key that is known makes COMMIT fail. */
static void add(struct db *db, const void *work)
{
	const struct enrolment *enrolment = work;

	store_certificate_put(db, enrolment->who, &enrolment->registration);
}

static int answer_kept(struct web_req *req, struct web_res *res, void *work, struct err *err)
{
	const struct enrolment *enrolment = work;

	(void)err;
	return answer(req, res, enrolment->leaf.der, enrolment->leaf.der_len);
}

static int alone(struct web_req *req, struct web_res *res, void *work, struct err *err)
{
	return keep(req, res, work, err);
}

const struct web_change est_enroll = {
	.prepare = prepare,
	.add = add,
	.close = store_certificate_put_end,
	.answer = answer_kept,
	.alone = alone,
};

int est_reenroll(struct web_req *req, struct web_res *res, struct err *err)
{
	struct registration registration = { .overlap_seconds = OVERLAP_SECONDS };
	auto_request request = { .key = NULL };
	struct enrolment *enrolment;
	struct certificate old;

	if (auth_limit_attempt(req->worker->auth, req, NULL, err) < 0 ||
		by_certificate(req, &old, err) < 0 || read_request(req, &request, err) < 0)
		return -1;
	if (strcmp(request.subject, old.subject) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "est.other_subject",
			"a renewal has the subject of the certificate that it renews");
	registration.name = old.name;
	registration.labels = old.labels;
	registration.replaces = &old;
	if (make(req, &request, &registration, &enrolment, err) < 0)
		return -1;
	return keep(req, res, enrolment, err);
}
