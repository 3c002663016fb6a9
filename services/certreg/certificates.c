/* SPDX-License-Identifier: Apache-2.0 */
/* Registering, reading and revoking certificates. */
#include "services/certreg/certificates.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/issuer.h"
#include "services/certreg/members.h"
#include "services/certreg/mirror.h"
#include "services/certreg/names.h"
#include "services/certreg/roles.h"
#include "services/certreg/store.h"
#include "services/certreg/store_tokens.h"

#define PEM_LINE 64
#define PEM_MAX (16 * 1024)
#define MAX_NAME 127
#define NONCE_BYTES 32
#define SIGNATURE_MAX 2048

/* --- rules --- */

const char *certificate_message(struct arena *arena, const struct certificate_proof *proof)
{
	return arena_printf(arena, "strongroom-cert-pop-v1\n%s\n%s\n%s\n%s\n%s\n", proof->base_url,
		proof->tenant_name, proof->spki, proof->server_nonce, proof->client_nonce);
}

const char *certificate_pem(struct arena *arena, const unsigned char *der, size_t len)
{
	auto_free char *text = codec_b64_text(der, len);
	size_t total = strlen(text), at = 0;
	char *pem = arena_alloc(arena, total + total / PEM_LINE + 64), *end = pem;

	end = stpcpy(end, "-----BEGIN CERTIFICATE-----\n");
	for (; at < total; at += PEM_LINE)
		end += snprintf(end, PEM_LINE + 2, "%.*s\n", PEM_LINE, text + at);
	stpcpy(end, "-----END CERTIFICATE-----\n");
	return pem;
}

json_t *certificate_json(const struct certificate *c)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "id", c->id, "name",
		c->name, "fingerprint", c->fingerprint, "spki", c->spki, "subject", c->subject,
		"serial", c->serial, "not_before", c->not_before, "not_after", c->not_after,
		"algorithm", c->algorithm, "state", c->state, "member", c->member, "created_at",
		c->created_at);
}

/* --- registering --- */

struct certificate_input {
	const char *certificate_pem, *name;
	json_t *proof;
};

struct proof_input {
	const char *challenge, *client_nonce, *signature;
};

static const struct json_field certificate_fields[] = {
	{ "certificate_pem", JSON_FIELD_TEXT, offsetof(struct certificate_input, certificate_pem),
		true, PEM_MAX },
	{ "name", JSON_FIELD_TEXT, offsetof(struct certificate_input, name), false, MAX_NAME },
	{ "proof", JSON_FIELD_OBJECT, offsetof(struct certificate_input, proof), true, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static const struct json_field proof_fields[] = {
	{ "challenge", JSON_FIELD_TEXT, offsetof(struct proof_input, challenge), true, ID_SIZE },
	{ "client_nonce", JSON_FIELD_TEXT, offsetof(struct proof_input, client_nonce), true,
		2 * NONCE_BYTES },
	{ "signature", JSON_FIELD_TEXT, offsetof(struct proof_input, signature), true,
		SIGNATURE_MAX },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* A certificate that came in, before and after its proof. */
struct candidate {
	struct certificate_input input;
	struct proof_input proof;
	struct cert_info info;
	EVP_PKEY *key;
	const char *pem; /* our spelling */
	unsigned char *signature;
	size_t signature_len;
};

static void candidate_cleanup(struct candidate *candidate)
{
	EVP_PKEY_free(candidate->key);
	free(candidate->signature);
}

static int read_proof(struct web_req *req, struct candidate *candidate, struct err *err)
{
	struct proof_input *proof = &candidate->proof;
	unsigned char nonce[NONCE_BYTES];

	if (json_decode(req->arena, candidate->input.proof, proof_fields, proof, err) < 0)
		return err_wrap(err, "proof");
	if (codec_hex_decode(proof->client_nonce, nonce, sizeof(nonce), NULL) < 0)
		return err_set(err, ERR_INVALID, "certificate.bad_nonce",
			"client_nonce must be 64 hex digits");
	if (codec_b64_decode(proof->signature, strlen(proof->signature), &candidate->signature,
		    &candidate->signature_len, NULL) < 0)
		return err_set(
			err, ERR_INVALID, "certificate.bad_signature", "signature must be base64");
	return 0;
}

static int check_times(const struct cert_info *info, struct err *err)
{
	long long now = issuer_now();

	if (info->not_after <= now)
		return err_set(err, ERR_UNPROCESSABLE, "certificate.expired",
			"the certificate has expired");
	if (info->not_before > now + 300)
		return err_set(err, ERR_UNPROCESSABLE, "certificate.not_yet_valid",
			"the certificate is not valid yet");
	return 0;
}

static int read_candidate(struct web_req *req, struct candidate *candidate, struct err *err)
{
	struct certificate_input *input = &candidate->input;
	auto_free unsigned char *der = NULL;
	size_t der_len;

	if (json_decode(req->arena, req->json, certificate_fields, input, err) < 0 ||
		read_proof(req, candidate, err) < 0)
		return -1;
	if (input->name && name_check(input->name, err) < 0)
		return -1;
	if (strncmp(input->certificate_pem, "-----BEGIN ", 11) != 0)
		return err_set(err, ERR_INVALID, "cert.syntax", "certificate_pem must be PEM");
	if (cert_parse(input->certificate_pem, strlen(input->certificate_pem), &candidate->info,
		    &candidate->key, &der, &der_len, err) < 0)
		return -1;
	candidate->pem = certificate_pem(req->arena, der, der_len);
	return check_times(&candidate->info, err);
}

/* The challenge is burnt before anything is compared: one try for each. */
static int check_possession(struct web_req *req, const struct candidate *candidate, struct err *err)
{
	const struct principal *who = req->principal;
	struct certificate_proof proof = { .base_url = req->worker->conf->base_url,
		.tenant_name = who->tenant_name };
	struct challenge challenge;
	const char *message;

	if (store_challenge_use(req->worker->db, who->tenant, who->subject,
		    candidate->proof.challenge, req->arena, &challenge, err) < 0)
		return -1;
	if (strcmp(challenge.spki, candidate->info.spki) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "challenge.other_key",
			"the challenge was asked for another key");
	proof.spki = challenge.spki;
	proof.server_nonce = challenge.nonce;
	proof.client_nonce = candidate->proof.client_nonce;
	message = certificate_message(req->arena, &proof);
	if (cert_verify(candidate->key, message, strlen(message), candidate->signature,
		    candidate->signature_len, NULL) < 0)
		return err_set(err, ERR_UNPROCESSABLE, "certificate.proof_invalid",
			"the signature is not by the certificate's key over the expected message");
	return 0;
}

static void answer(
	struct web_req *req, struct web_res *res, const struct certificate *certificate, int status)
{
	res->status = status;
	res->json = certificate_json(certificate);
	resource_etag(req, res, certificate->revision);
}

static int find_and_answer(
	struct web_req *req, struct web_res *res, const char *id, int status, struct err *err)
{
	struct certificate certificate;

	if (store_certificate(
		    req->worker->db, req->principal->tenant, id, req->arena, &certificate, err) < 0)
		return -1;
	answer(req, res, &certificate, status);
	return 0;
}

static int register_candidate(struct web_req *req, struct web_res *res,
	const struct candidate *candidate, struct err *err)
{
	const char *name = candidate->input.name;
	struct registration registration = { .pem = candidate->pem, .info = &candidate->info };
	struct certificate certificate;
	char id[ID_SIZE];
	bool is_new;

	id_new("crt", id);
	registration.id = id;
	registration.name = name ? name : candidate->info.subject;
	if (store_certificate_add(req->worker->db, req, &registration, &certificate, &is_new, err) <
		0)
		return -1;
	if (strcmp(certificate.state, "active") != 0)
		return err_set(err, ERR_CONFLICT, "certificate.revoked",
			"this key was revoked: make another");
	mirror_add(certreg_of(req->worker), &certificate);
	web_header_add(
		res, "Location", arena_printf(req->arena, "/v1/certificates/%s", certificate.id));
	answer(req, res, &certificate, is_new ? 201 : 200);
	return 0;
}

int certificate_create(struct web_req *req, struct web_res *res, struct err *err)
{
	__attribute__((cleanup(candidate_cleanup))) struct candidate candidate = { .key = NULL };
	const char *made;

	if (resource_replayed(req, res, CERTIFICATES_ROUTE, &made, err) < 0)
		return -1;
	if (made)
		return find_and_answer(req, res, made, 200, err);
	if (read_candidate(req, &candidate, err) < 0 || check_possession(req, &candidate, err) < 0)
		return -1;
	return register_candidate(req, res, &candidate, err);
}

/* --- reading and revoking --- */

int certificate_list(struct web_req *req, struct web_res *res, struct err *err)
{
	struct page page;

	if (resource_page(req, &page, err) < 0)
		return -1;
	return store_certificate_list(req->worker->db, req->principal->tenant,
		web_query(req, "state"), &page, &res->json, err);
}

int certificate_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *accept = web_header(req, "Accept"), *id = web_param(req, "certificate_id");
	struct certificate certificate;

	if (!accept || strcmp(accept, "application/x-pem-file") != 0)
		return find_and_answer(req, res, id, 200, err);
	if (store_certificate(
		    req->worker->db, req->principal->tenant, id, req->arena, &certificate, err) < 0)
		return -1;
	res->text = certificate.pem;
	res->text_len = strlen(certificate.pem);
	res->content_type = "application/x-pem-file";
	resource_etag(req, res, certificate.revision);
	return 0;
}

int certificate_revoke(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct principal *who = req->principal;
	const char *id = web_param(req, "certificate_id");
	struct db *db = req->worker->db;
	struct certificate certificate;

	if (store_certificate(db, who->tenant, id, req->arena, &certificate, err) < 0)
		return -1;
	if (strcmp(certificate.member, who->subject) != 0 && !roles_have(who->roles, "owner") &&
		!roles_have(who->roles, "admin"))
		return err_set(err, ERR_FORBIDDEN, "auth.role_missing",
			"certificates of other members are for owner and admin");
	if (resource_if_match(req, certificate.revision, err) < 0)
		return -1;
	if (strcmp(certificate.state, "active") == 0 &&
		store_certificate_revoke(
			db, who->tenant, who->space, id, certificate.revision, err) < 0)
		return -1;
	store_revocation_ring(req->worker);
	if (store_certificate(db, who->tenant, id, req->arena, &certificate, err) < 0)
		return -1;
	mirror_add(certreg_of(req->worker), &certificate);
	answer(req, res, &certificate, 200);
	return 0;
}
