/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of :attest and /v1/agent/attestations. */
#include "services/provisioner/attestations.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "lib/wake.h"
#include "proto/roles.h"
#include "proto/trust.h"
#include "services/provisioner/config.h"
#include "services/provisioner/sandboxes.h"
#include "services/provisioner/store_attestations.h"
#include "services/provisioner/verdict.h"

#define MAX_CREDENTIAL 1024

struct ask_body {
	long long boot;
	const char *nonce;
	json_t *credential;
};

static const struct json_field ask_fields[] = {
	{ "boot", JSON_FIELD_COUNT, offsetof(struct ask_body, boot), false, 0 },
	{ "nonce", JSON_FIELD_TEXT, offsetof(struct ask_body, nonce), false, 64 },
	{ "credential", JSON_FIELD_OBJECT, offsetof(struct ask_body, credential), false, 2 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct credential_body {
	const char *blob, *secret;
};

static const struct json_field credential_fields[] = {
	{ "blob", JSON_FIELD_TEXT, offsetof(struct credential_body, blob), true, MAX_CREDENTIAL },
	{ "secret", JSON_FIELD_TEXT, offsetof(struct credential_body, secret), true,
		MAX_CREDENTIAL },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct answer_body {
	const char *activated;
	json_t *evidence, *failure;
};

static const struct json_field answer_fields[] = {
	{ "activated", JSON_FIELD_TEXT, offsetof(struct answer_body, activated), false, 128 },
	{ "evidence", JSON_FIELD_OBJECT, offsetof(struct answer_body, evidence), false, 16 },
	{ "failure", JSON_FIELD_OBJECT, offsetof(struct answer_body, failure), false, 2 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct failure_body {
	const char *code, *detail;
};

static const struct json_field failure_fields[] = {
	{ "code", JSON_FIELD_TEXT, offsetof(struct failure_body, code), true, 47 },
	{ "detail", JSON_FIELD_TEXT, offsetof(struct failure_body, detail), true, 1024 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static const char *compact(struct web_req *req, const json_t *value)
{
	size_t len;
	auto_free char *text = value ? json_encode(value, &len) : NULL;

	return text ? arena_strdup(req->arena, text) : NULL;
}

static json_t *parsed(const char *text)
{
	return text ? json_loads(text, 0, NULL) : json_null();
}

/* --- members --- */

static json_t *failure_record(const struct attestation *attestation)
{
	const char *code = attestation->failure_code, *detail = attestation->failure_detail;

	if (!code)
		return json_null();
	if (!detail)
		detail = strcmp(code, "attestation.expired") == 0
				 ? "the agent did not answer in two minutes"
				 : "the sandbox is no longer in the boot that was asked";
	return json_pack("{s:s,s:s}", "code", code, "detail", detail);
}

static json_t *attestation_record(const struct attestation *attestation)
{
	return json_pack("{s:s,s:I,s:s,s:s?,s:o,s:o,s:s,s:s}", "id", attestation->id, "boot",
		(json_int_t)attestation->boot, "state", attestation->state, "activated",
		attestation->activated, "evidence", parsed(attestation->evidence), "failure",
		failure_record(attestation), "created_at", attestation->created_at, "updated_at",
		attestation->updated_at);
}

static int get_ready(struct web_req *req, struct sandbox *ret_sandbox, struct err *err)
{
	if (sandbox_read(req, ret_sandbox, err) < 0)
		return -1;
	if (strcmp(ret_sandbox->state, "ready") != 0)
		return err_set(err, ERR_CONFLICT, "attestation.not_ready", "the sandbox is '%s'",
			ret_sandbox->state);
	return 0;
}

/* The first call: for whom a credential is to be made. */
static int introduce(
	struct web_req *req, struct web_res *res, const struct sandbox *sandbox, struct err *err)
{
	const struct provisioner_conf *conf = req->worker->program;
	auto_json json_t *chain = NULL;
	struct vtpm_row row;

	if (store_vtpm_get(req->worker->db, req->arena, sandbox, &row, err) < 0)
		return -1;
	if (row.ak && attestation_chain(conf->vtpm_chain, &chain, err) < 0)
		return -1;
	res->json = json_pack("{s:I,s:s?,s:O?,s:s?}", "boot", (json_int_t)sandbox->boot,
		"ek_certificate", row.ek_certificate, "ek_chain", chain, "ak", row.ak);
	return 0;
}

static int check_question(struct web_req *req, const struct ask_body *body,
	const struct sandbox *sandbox, struct err *err)
{
	struct credential_body credential;
	unsigned char nonce[TRUST_NONCE_SIZE];

	if (!body->nonce || codec_b64url_decode_fixed(body->nonce, nonce, sizeof(nonce), NULL) < 0)
		return err_set(err, ERR_INVALID, "attestation.bad_nonce",
			"the nonce is not 32 bytes of base64url");
	if (body->credential &&
		json_decode(req->arena, body->credential, credential_fields, &credential, err) < 0)
		return -1;
	if (body->boot != sandbox->boot)
		return err_set(err, ERR_CONFLICT, "attestation.other_boot",
			"the sandbox is in boot %lld", sandbox->boot);
	return 0;
}

static int answer(struct web_req *req, struct web_res *res, const char *sandbox_id, const char *id,
	struct err *err)
{
	struct attestation attestation;
	json_t *ear;

	if (store_attestation_get(req, sandbox_id, id, &attestation, err) < 0)
		return -1;
	res->json = attestation_record(&attestation);
	if (verdict_answer_ear(req, sandbox_id, attestation.nonce,
		    json_object_get(res->json, "evidence"), &ear, err) < 0)
		return -1;
	json_object_set_new(res->json, "ear", ear);
	resource_etag(req, res, attestation.revision);
	return 0;
}

/* The second call, for the agent to answer. */
static int ask(struct web_req *req, struct web_res *res, const struct ask_body *body,
	const struct sandbox *sandbox, struct err *err)
{
	const char *id;

	if (check_question(req, body, sandbox, err) < 0 ||
		store_attestation_add(
			req, sandbox, body->nonce, compact(req, body->credential), &id, err) < 0)
		return -1;
	wake_ring(req->worker->wake, "web", sandbox->id);
	res->status = 202;
	web_header_add(res, "Location",
		arena_printf(req->arena, "/v1/sandboxes/%s/attestations/%s", sandbox->id, id));
	return answer(req, res, sandbox->id, id, err);
}

int attestation_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct ask_body body = { 0 };
	struct sandbox sandbox;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		json_decode(req->arena, req->json, ask_fields, &body, err) < 0 ||
		get_ready(req, &sandbox, err) < 0)
		return -1;
	return json_object_size(req->json) == 0 ? introduce(req, res, &sandbox, err)
						: ask(req, res, &body, &sandbox, err);
}

int attestation_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "attestation_id");
	long long wait_ms;

	if (web_wait_ms(req, &wait_ms, err) < 0 ||
		answer(req, res, web_param(req, "sandbox_id"), id, err) < 0)
		return -1;
	if (wait_ms && strcmp(json_text(res->json, "state"), "pending") == 0)
		web_park(req, res, id, wait_ms);
	return 0;
}

/* --- the agent --- */

int attestation_next(struct web_req *req, struct web_res *res, struct err *err)
{
	struct attestation attestation;
	long long wait_ms;
	bool found;

	if (web_wait_ms(req, &wait_ms, err) < 0 ||
		store_attestation_next(req, &attestation, &found, err) < 0)
		return -1;
	if (found) {
		res->json = json_pack("{s:s,s:s,s:o}", "id", attestation.id, "nonce",
			attestation.nonce, "credential", parsed(attestation.credential));
		return 0;
	}
	res->status = 204;
	if (wait_ms)
		web_park(req, res, req->principal->subject, wait_ms);
	return 0;
}

int attestation_answer(struct web_req *req, struct web_res *res, struct err *err)
{
	struct attestation attestation = { .id = web_param(req, "attestation_id"),
		.state = "done" };
	struct answer_body body = { 0 };
	struct failure_body failure;

	if (json_decode(req->arena, req->json, answer_fields, &body, err) < 0)
		return -1;
	if (!body.evidence == !body.failure)
		return err_set(err, ERR_INVALID, "attestation.bad_answer",
			"an answer is evidence or a failure");
	if (body.failure) {
		if (json_decode(req->arena, body.failure, failure_fields, &failure, err) < 0)
			return -1;
		attestation.state = "failed";
		attestation.failure_code = failure.code;
		attestation.failure_detail = failure.detail;
	}
	attestation.activated = body.activated;
	attestation.evidence = compact(req, body.evidence);
	if (store_attestation_answer(req, &attestation, err) < 0)
		return -1;
	wake_ring(req->worker->wake, "web", attestation.id);
	res->status = 204;
	return 0;
}

/* --- the chain of endorsement certificates --- */

static json_t *encode_certificate(X509 *certificate)
{
	unsigned char *der = NULL;
	int len = i2d_X509(certificate, &der);
	auto_free char *text = len > 0 ? codec_b64url_text(der, (size_t)len) : NULL;

	OPENSSL_free(der);
	return text ? json_string(text) : NULL;
}

int attestation_chain(const char *pem_file, json_t **ret_chain, struct err *err)
{
	BIO *file = BIO_new_file(pem_file, "r");
	json_t *chain = json_array();
	X509 *certificate;

	while (file && (certificate = PEM_read_bio_X509(file, NULL, NULL, NULL))) {
		json_array_append_new(chain, encode_certificate(certificate));
		X509_free(certificate);
	}
	BIO_free(file);
	ERR_clear_error();
	*ret_chain = chain;
	if (json_array_size(chain) > 0)
		return 0;
	json_decref(take_ptr(*ret_chain));
	return err_set(err, ERR_INTERNAL, "sandbox.vtpm", "'%s' has no certificate", pem_file);
}
