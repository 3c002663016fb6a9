/* SPDX-License-Identifier: Apache-2.0 */
/* What is not a request, or asks about another CA, gets the protocol's own answer with status 200.
 * An answer is given again while what it says is true and half of its life is left; one with a
 * nonce is for its request alone (RFC 6960 4.4.1). */
#include "services/certreg/ocsp.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/codec.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/answers.h"
#include "services/certreg/ca.h"
#include "services/certreg/crl.h"
#include "services/certreg/issuer.h"
#include "services/certreg/store_certificates.h"

#define QUESTIONS_MAX 8

static void request_cleanup(OCSP_REQUEST **request)
{
	OCSP_REQUEST_free(*request);
}

static void basic_cleanup(OCSP_BASICRESP **basic)
{
	OCSP_BASICRESP_free(*basic);
}

static int failed(struct err *err)
{
	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "internal.crypto", "cannot make the OCSP answer");
}

static void set_head(struct web_res *res)
{
	res->content_type = "application/ocsp-response";
	web_header_add(res, "Cache-Control", "no-store");
}

static int answer(struct web_req *req, struct web_res *res, int status, OCSP_BASICRESP *basic,
	struct err *err)
{
	OCSP_RESPONSE *response = OCSP_response_create(status, basic);
	unsigned char *der = NULL;
	int len = response ? i2d_OCSP_RESPONSE(response, &der) : -1;

	OCSP_RESPONSE_free(response);
	if (len <= 0)
		return failed(err);
	res->text = arena_dup(req->arena, der, (size_t)len);
	res->text_len = (size_t)len;
	OPENSSL_free(der);
	set_head(res);
	return 0;
}

/* Whether the question is about a certificate of ours; by the digest that the client chose. */
static bool is_ours(const struct ca *ca, OCSP_CERTID *id)
{
	ASN1_OBJECT *algorithm;
	OCSP_CERTID *own;
	const EVP_MD *md;
	bool same;

	OCSP_id_get0_info(NULL, &algorithm, NULL, NULL, id);
	md = EVP_get_digestbyobj(algorithm);
	own = md ? OCSP_cert_to_id(md, NULL, ca_certificate(ca)) : NULL;
	same = own && OCSP_id_issuer_cmp(own, id) == 0;
	OCSP_CERTID_free(own);
	return same;
}

static int find_state(
	struct web_req *req, OCSP_CERTID *id, struct issued_state *ret_state, struct err *err)
{
	ASN1_INTEGER *serial;
	BIGNUM *number;
	char *hex;

	OCSP_id_get0_info(NULL, NULL, NULL, &serial, id);
	number = ASN1_INTEGER_to_BN(serial, NULL);
	hex = number ? BN_bn2hex(number) : NULL;
	BN_free(number);
	if (!hex)
		return failed(err);
	for (char *at = hex; *at; at++)
		*at = (char)(*at >= 'A' && *at <= 'F' ? *at + 'a' - 'A' : *at);
	hex[strnlen(hex, 64)] = '\0';
	ret_state->serial = arena_strdup(req->arena, hex);
	OPENSSL_free(hex);
	return store_issued_state(req->worker->db, ret_state->serial, req->arena, ret_state, err);
}

static int add_status(
	OCSP_BASICRESP *basic, OCSP_CERTID *id, const struct issued_state *state, struct err *err)
{
	long long now = issuer_now();
	ASN1_TIME *begin = ASN1_TIME_set(NULL, now),
		  *end = ASN1_TIME_set(NULL, now + ANSWERS_LIFE_SECONDS);
	ASN1_TIME *revoked = ASN1_TIME_set(NULL, state->revoked_at);
	int status = state->is_revoked ? V_OCSP_CERTSTATUS_REVOKED
		     : state->is_known ? V_OCSP_CERTSTATUS_GOOD
				       : V_OCSP_CERTSTATUS_UNKNOWN;
	int reason = crl_reason(state->reason);
	bool good = begin && end && revoked &&
		    OCSP_basic_add1_status(basic, id, status,
			    reason ? reason : OCSP_REVOKED_STATUS_NOSTATUS,
			    state->is_revoked ? revoked : NULL, begin, end) != NULL;

	ASN1_TIME_free(begin);
	ASN1_TIME_free(end);
	ASN1_TIME_free(revoked);
	return good ? 0 : failed(err);
}

/* The standing of each certificate that is asked about; of one that is not ours, nothing. */
static int find_states(struct web_req *req, OCSP_REQUEST *request, struct issued_state *states,
	int count, struct err *err)
{
	const struct ca *ca = certreg_of(req->worker)->secrets->ca;

	for (int i = 0; i < count; i++) {
		OCSP_CERTID *id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, i));

		states[i] = (struct issued_state) { .serial = NULL };
		if (is_ours(ca, id) && find_state(req, id, &states[i], err) < 0)
			return -1;
	}
	return 0;
}

/* Of the question and of all that the answer says; false: the answer is for this request alone. */
static bool key_of(const struct web_req *req, OCSP_REQUEST *request, const unsigned char *der,
	size_t len, const struct issued_state *states, int count, unsigned char key[DIGEST_SIZE])
{
	struct digest_stream *stream;

	if (OCSP_REQUEST_get_ext_by_NID(request, NID_id_pkix_OCSP_Nonce, -1) >= 0)
		return false;
	stream = digest_stream_new();
	digest_stream_add(stream, der, len);
	for (int i = 0; i < count; i++) {
		const char *text = arena_printf(req->arena, " %d %d %lld %s", states[i].is_known,
			states[i].is_revoked, states[i].revoked_at,
			states[i].reason ? states[i].reason : "");

		digest_stream_add(stream, text, strlen(text));
	}
	digest_stream_finish(stream, key);
	digest_stream_free(stream);
	return true;
}

static int sign_answer(struct web_req *req, struct web_res *res, OCSP_REQUEST *request,
	const struct issued_state *states, int count, struct err *err)
{
	const struct ca *ca = certreg_of(req->worker)->secrets->ca;
	__attribute__((cleanup(basic_cleanup))) OCSP_BASICRESP *basic = OCSP_BASICRESP_new();

	if (!basic)
		return failed(err);
	for (int i = 0; i < count; i++) {
		OCSP_CERTID *id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, i));

		if (add_status(basic, id, &states[i], err) < 0)
			return -1;
	}
	if (OCSP_copy_nonce(basic, request) < 0 ||
		OCSP_basic_sign(basic, ca_certificate(ca), ca_key(ca), ca_digest(ca), NULL,
			OCSP_NOCERTS | OCSP_RESPID_KEY) != 1)
		return failed(err);
	return answer(req, res, OCSP_RESPONSE_STATUS_SUCCESSFUL, basic, err);
}

static int answer_questions(struct web_req *req, struct web_res *res, OCSP_REQUEST *request,
	const unsigned char *der, size_t len, struct err *err)
{
	struct answers *answers = certreg_of(req->worker)->ocsps;
	int count = OCSP_request_onereq_count(request);
	struct issued_state states[QUESTIONS_MAX];
	unsigned char key[DIGEST_SIZE];
	bool lasts;

	if (count < 1 || count > QUESTIONS_MAX)
		return answer(req, res, OCSP_RESPONSE_STATUS_MALFORMEDREQUEST, NULL, err);
	if (find_states(req, request, states, count, err) < 0)
		return -1;
	lasts = key_of(req, request, der, len, states, count, key);
	res->text = lasts ? answers_get(answers, key, req->arena, &res->text_len) : NULL;
	if (res->text) {
		set_head(res);
		return 0;
	}
	if (sign_answer(req, res, request, states, count, err) < 0)
		return -1;
	if (lasts)
		answers_put(answers, key, res->text, res->text_len);
	return 0;
}

static int answer_bytes(struct web_req *req, struct web_res *res, const unsigned char *der,
	size_t len, struct err *err)
{
	const unsigned char *at = der;
	__attribute__((cleanup(request_cleanup))) OCSP_REQUEST *request =
		d2i_OCSP_REQUEST(NULL, &at, (long)len);

	if (auth_limit_attempt(req->worker->auth, req, NULL, err) < 0)
		return -1;
	if (request && at == der + len)
		return answer_questions(req, res, request, der, len, err);
	ERR_clear_error();
	return answer(req, res, OCSP_RESPONSE_STATUS_MALFORMEDREQUEST, NULL, err);
}

int ocsp_post(struct web_req *req, struct web_res *res, struct err *err)
{
	return answer_bytes(req, res, req->body, req->body_len, err);
}

int ocsp_get(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *query = web_query(req, "request");
	char *text = arena_strdup(req->arena, query ? query : "");
	auto_free unsigned char *der = NULL;
	size_t len = 0;

	for (char *space = text; (space = strchr(space, ' '));)
		*space = '+'; /* that one was not escaped in the path */
	if (codec_b64_decode(text, strlen(text), &der, &len, NULL) < 0)
		return answer(req, res, OCSP_RESPONSE_STATUS_MALFORMEDREQUEST, NULL, err);
	return answer_bytes(req, res, der, len, err);
}
