/* SPDX-License-Identifier: Apache-2.0 */
/* A list is signed when another certificate is revoked, and when half of its life is over; the edge
 * and clients may keep it for a minute. */
#include "services/certreg/crl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/service.h"
#include "services/certreg/answers.h"
#include "services/certreg/ca.h"
#include "services/certreg/issuer.h"
#include "services/certreg/store_certificates.h"

static int failed(struct err *err)
{
	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "internal.crypto", "cannot make the revocation list");
}

int crl_reason(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} reasons[] = {
		{ "keyCompromise", CRL_REASON_KEY_COMPROMISE },
		{ "cACompromise", CRL_REASON_CA_COMPROMISE },
		{ "affiliationChanged", CRL_REASON_AFFILIATION_CHANGED },
		{ "superseded", CRL_REASON_SUPERSEDED },
		{ "cessationOfOperation", CRL_REASON_CESSATION_OF_OPERATION },
		{ "privilegeWithdrawn", CRL_REASON_PRIVILEGE_WITHDRAWN },
		{ "aACompromise", CRL_REASON_AA_COMPROMISE },
	};

	for (size_t i = 0; name && i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (strcmp(reasons[i].name, name) == 0)
			return reasons[i].number;
	}
	return CRL_REASON_UNSPECIFIED;
}

static bool set_entry(X509_REVOKED *entry, const struct issued_state *state)
{
	ASN1_TIME *time = ASN1_TIME_set(NULL, state->revoked_at);
	ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
	ASN1_INTEGER *serial = NULL;
	BIGNUM *number = NULL;
	int value = crl_reason(state->reason);
	bool good;

	good = BN_hex2bn(&number, state->serial) > 0 &&
	       (serial = BN_to_ASN1_INTEGER(number, NULL)) && time && reason &&
	       X509_REVOKED_set_serialNumber(entry, serial) == 1 &&
	       X509_REVOKED_set_revocationDate(entry, time) == 1;
	/* RFC 5280 5.3.1: "unspecified" is said by saying nothing */
	if (good && value != CRL_REASON_UNSPECIFIED)
		good = ASN1_ENUMERATED_set(reason, value) == 1 &&
		       X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, reason, 0, 0) == 1;
	BN_free(number);
	ASN1_INTEGER_free(serial);
	ASN1_TIME_free(time);
	ASN1_ENUMERATED_free(reason);
	return good;
}

static int add_entry(const struct issued_state *state, void *arg, struct err *err)
{
	X509_REVOKED *entry = X509_REVOKED_new();

	if (entry && set_entry(entry, state) && X509_CRL_add0_revoked(arg, entry) == 1)
		return 0;
	X509_REVOKED_free(entry);
	return failed(err);
}

/* Who signs, when, and the list's number, which only grows. */
static bool set_head(X509_CRL *crl, const struct ca *ca, long long now)
{
	ASN1_TIME *begin = ASN1_TIME_set(NULL, now),
		  *end = ASN1_TIME_set(NULL, now + ANSWERS_LIFE_SECONDS);
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	X509_EXTENSION *authority;
	X509V3_CTX ctx;
	bool good;

	X509V3_set_ctx(&ctx, ca_certificate(ca), NULL, NULL, crl, 0);
	authority = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid");
	good = begin && end && number && authority &&
	       X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
	       X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca_certificate(ca))) == 1 &&
	       X509_CRL_set1_lastUpdate(crl, begin) == 1 &&
	       X509_CRL_set1_nextUpdate(crl, end) == 1 &&
	       ASN1_INTEGER_set_int64(number, now) == 1 &&
	       X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1 &&
	       X509_CRL_add_ext(crl, authority, -1) == 1;
	ASN1_TIME_free(begin);
	ASN1_TIME_free(end);
	ASN1_INTEGER_free(number);
	X509_EXTENSION_free(authority);
	return good;
}

static void release_crl(void *crl)
{
	X509_CRL_free(crl);
}

static int make_list(struct web_req *req, const struct ca *ca, unsigned char **ret_der,
	int *ret_len, struct err *err)
{
	X509_CRL *crl = X509_CRL_new();

	if (!crl)
		return failed(err);
	arena_defer(req->arena, release_crl, crl);
	if (!set_head(crl, ca, issuer_now()))
		return failed(err);
	if (store_issued_revoked(req->worker->db, add_entry, crl, err) < 0)
		return -1;
	if (X509_CRL_sort(crl) != 1 || X509_CRL_sign(crl, ca_key(ca), ca_digest(ca)) <= 0)
		return failed(err);
	*ret_len = i2d_X509_CRL(crl, ret_der);
	return *ret_len > 0 ? 0 : failed(err);
}

int crl_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct certreg *certreg = certreg_of(req->worker);
	unsigned char key[DIGEST_SIZE], *der = NULL;
	const char *mark;
	int len = 0;

	if (auth_limit_attempt(req->worker->auth, req, NULL, err) < 0 ||
		store_issued_mark(req->worker->db, req->arena, &mark, err) < 0)
		return -1;
	digest_sha256(mark, strlen(mark), key);
	res->text = answers_get(certreg->crls, key, req->arena, &res->text_len);
	if (!res->text) {
		if (make_list(req, certreg->secrets->ca, &der, &len, err) < 0)
			return -1;
		answers_put(certreg->crls, key, der, (size_t)len);
		res->text = arena_dup(req->arena, der, (size_t)len);
		res->text_len = (size_t)len;
		OPENSSL_free(der);
	}
	res->content_type = "application/pkix-crl";
	web_header_add(res, "Cache-Control", "public, max-age=60");
	return 0;
}
