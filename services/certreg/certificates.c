/* SPDX-License-Identifier: Apache-2.0 */
/* Registering certificates and replacing them: fingerprint first, then proof, then the row. */
#include "services/certreg/certificates.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/issuer.h"
#include "services/certreg/mirror.h"
#include "services/certreg/names.h"
#include "services/certreg/store_certificates.h"

#define PEM_MAX (16 * 1024)
#define MAX_NAME 127
#define NONCE_BYTES 32
#define SIGNATURE_MAX 2048
#define SKEW_SECONDS 300
#define SKEW_SECONDS_LIKELY 86400 /* further ahead nobody's clock is to blame */
#define OVERLAP_SECONDS 86400
#define OVERLAP_MAX_SECONDS (30 * 86400)

/* --- rules --- */

const char *certificate_message(struct arena *arena, const struct certificate_proof *proof)
{
	return arena_printf(arena, "strongroom-cert-pop-v1\n%s\n%s\n%s\n%s\n%s\n", proof->base_url,
		proof->tenant_name, proof->spki, proof->server_nonce, proof->client_nonce);
}

const char *certificate_pem(struct arena *arena, const unsigned char *der, size_t len)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----\n",
			  end[] = "-----END CERTIFICATE-----\n";
	auto_free char *lines = codec_b64_lines(der, len);
	size_t lines_len = strlen(lines);
	char *pem = arena_alloc(arena, sizeof(begin) + lines_len + sizeof(end));

	memcpy(pem, begin, strlen(begin));
	memcpy(pem + strlen(begin), lines, lines_len);
	memcpy(pem + strlen(begin) + lines_len, end, sizeof(end));
	return pem;
}

const char *certificate_default_name(struct arena *arena, const char *subject, const char *spki)
{
	return arena_printf(arena, "%.100s (%.12s)", subject, spki + strlen("sha256:"));
}

static int check_times(const struct cert_info *info, struct err *err)
{
	long long now = issuer_now();

	if (info->not_after <= now)
		return err_set(err, ERR_UNPROCESSABLE, "certificate.expired",
			"the certificate has expired");
	if (info->not_before > now + SKEW_SECONDS_LIKELY)
		return err_set(err, ERR_UNPROCESSABLE, "certificate.not_yet_valid",
			"the certificate is not valid yet");
	if (info->not_before > now + SKEW_SECONDS)
		return err_set(err, ERR_UNPROCESSABLE, "certificate.clock_skew",
			"the certificate begins %lld s from now: a clock is wrong",
			info->not_before - now);
	return 0;
}

static int check_leaf(const struct cert_info *info, struct err *err)
{
	if (info->is_ca)
		return err_set(err, ERR_UNPROCESSABLE, "certificate.ca",
			"the certificate is a CA's (CA:TRUE): a leaf is wanted");
	return check_times(info, err);
}

/* --- what came in --- */

struct certificate_input {
	const char *certificate_pem, *certificate_der, *name;
	json_t *labels, *proof, *proof_old;
	long long overlap_seconds;
};

struct proof_input {
	const char *challenge, *client_nonce, *signature;
};

#define FIELD(member, kind, required, max)                                                         \
	{                                                                                          \
#member, kind, offsetof(struct certificate_input, member), required, max           \
	}
#define FIELDS_OF_BOTH                                                                             \
	FIELD(certificate_pem, JSON_FIELD_TEXT, false, PEM_MAX),                                   \
		FIELD(certificate_der, JSON_FIELD_TEXT, false, PEM_MAX)

static const struct json_field register_fields[] = {
	FIELDS_OF_BOTH,
	FIELD(name, JSON_FIELD_TEXT, false, MAX_NAME),
	FIELD(labels, JSON_FIELD_OBJECT, false, 0),
	FIELD(proof, JSON_FIELD_OBJECT, false, 0),
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static const struct json_field rotate_fields[] = {
	FIELDS_OF_BOTH,
	FIELD(overlap_seconds, JSON_FIELD_COUNT, false, OVERLAP_MAX_SECONDS),
	FIELD(proof, JSON_FIELD_OBJECT, true, 0),
	FIELD(proof_old, JSON_FIELD_OBJECT, true, 0),
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

static const struct json_field old_proof_fields[] = {
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
	unsigned char *der;
	size_t der_len;
	const char *labels, *message; /* the text that was to be signed */
};

static void candidate_cleanup(struct candidate *candidate)
{
	EVP_PKEY_free(candidate->key);
	free(candidate->der);
}
#define auto_candidate __attribute__((cleanup(candidate_cleanup))) struct candidate

/* The bytes of the certificate, not parsed yet. */
static int read_der(struct candidate *candidate, struct err *err)
{
	const struct certificate_input *input = &candidate->input;
	const char *pem = input->certificate_pem, *base64 = input->certificate_der;

	if (!pem == !base64)
		return err_set(err, ERR_INVALID, "certificate.one_of_two",
			"send certificate_pem or certificate_der");
	if (base64 && codec_b64_decode(base64, strlen(base64), &candidate->der, &candidate->der_len,
			      NULL) < 0)
		return err_set(err, ERR_INVALID, "cert.syntax",
			"certificate_der must be base64 without white space");
	if (base64)
		return 0;
	if (strncmp(pem, "-----BEGIN ", 11) != 0)
		return err_set(err, ERR_INVALID, "cert.syntax", "certificate_pem must be PEM");
	return cert_der(pem, strlen(pem), &candidate->der, &candidate->der_len, err);
}

static int read_candidate(struct web_req *req, const struct json_field *fields,
	struct candidate *candidate, struct err *err)
{
	struct certificate_input *input = &candidate->input;

	input->overlap_seconds = OVERLAP_SECONDS;
	if (json_decode(req->arena, req->json, fields, input, err) < 0 ||
		read_der(candidate, err) < 0)
		return -1;
	if (input->name && name_check(input->name, err) < 0)
		return -1;
	return certificate_labels(req->arena, input->labels, &candidate->labels, err);
}

static int parse_candidate(struct candidate *candidate, struct err *err)
{
	if (cert_parse(candidate->der, candidate->der_len, &candidate->info, &candidate->key, NULL,
		    NULL, err) < 0)
		return -1;
	return check_leaf(&candidate->info, err);
}

/* --- possession --- */

static int check_signature(
	EVP_PKEY *key, const char *message, const char *base64, const char *whose, struct err *err)
{
	auto_free unsigned char *signature = NULL;
	size_t len = 0;

	if (codec_b64_decode(base64, strlen(base64), &signature, &len, NULL) < 0)
		return err_set(
			err, ERR_INVALID, "certificate.bad_signature", "signature must be base64");
	if (cert_verify(key, message, strlen(message), signature, len, NULL) < 0)
		return err_set(err, ERR_UNPROCESSABLE, "certificate.proof_invalid",
			"the signature is not by the %s key over the expected message", whose);
	return 0;
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
	return 0;
}

/* The challenge is burnt before anything is compared: one try for each. */
static int check_possession(struct web_req *req, struct candidate *candidate, struct err *err)
{
	const struct principal *who = req->principal;
	struct certificate_proof proof = { .base_url = req->worker->conf->base_url,
		.tenant_name = who->tenant_name };
	struct challenge challenge;

	if (read_proof(req, candidate, err) < 0 ||
		store_challenge_use(req->worker->db, who->tenant, who->subject,
			candidate->proof.challenge, req->arena, &challenge, err) < 0)
		return -1;
	if (strcmp(challenge.spki, candidate->info.spki) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "challenge.other_key",
			"the challenge was asked for another key");
	proof.spki = challenge.spki;
	proof.server_nonce = challenge.nonce;
	proof.client_nonce = candidate->proof.client_nonce;
	candidate->message = certificate_message(req->arena, &proof);
	return check_signature(candidate->key, candidate->message, candidate->proof.signature,
		"certificate's", err);
}

/* Of a rotation: the old key signs the very message that the new one signed. */
static int check_old_possession(struct web_req *req, const struct candidate *candidate,
	const struct certificate *old, struct err *err)
{
	struct proof_input proof = { .signature = NULL };
	auto_key EVP_PKEY *key = NULL;
	struct cert_info info;

	if (json_decode(req->arena, candidate->input.proof_old, old_proof_fields, &proof, err) < 0)
		return err_wrap(err, "proof_old");
	if (cert_parse(old->pem, strlen(old->pem), &info, &key, NULL, NULL, err) < 0)
		return err_wrap(err, "the certificate to be replaced");
	return check_signature(key, candidate->message, proof.signature, "old", err);
}

/* --- registering --- */

static int keep(struct web_req *req, struct web_res *res, const struct candidate *candidate,
	const struct registration *wanted, struct err *err)
{
	struct registration registration = *wanted;
	struct certificate certificate;
	char id[ID_SIZE];
	bool is_new;

	id_new("crt", id);
	registration.id = id;
	registration.info = &candidate->info;
	registration.pem = certificate_pem(req->arena, candidate->der, candidate->der_len);
	registration.source =
		candidate->info.is_self_signed ? CERTIFICATE_SELF_SIGNED : CERTIFICATE_EXTERNAL;
	if (store_certificate_add(req->worker->db, req, &registration, &certificate, &is_new, err) <
		0)
		return -1;
	if (strcmp(certificate.state, "revoked") == 0)
		return err_set(err, ERR_CONFLICT, "certificate.revoked",
			"this key was revoked: make another");
	mirror_add(certreg_of(req->worker), &certificate);
	web_header_add(
		res, "Location", arena_printf(req->arena, "/v1/certificates/%s", certificate.id));
	certificate_answer(req, res, &certificate, is_new ? 201 : 200);
	return 0;
}

/* Without a proof only what the tenant has already: found by its fingerprint, nothing is parsed. */
static const char *fingerprint_of(struct web_req *req, const struct candidate *candidate)
{
	char *fingerprint = arena_alloc(req->arena, CERT_FINGERPRINT_SIZE);

	cert_fingerprint(candidate->der, candidate->der_len, fingerprint);
	return fingerprint;
}

/* What is new, and what may have been asked before, is for certificate_create(). */
int certificate_ask_known(struct web_req *req, struct web_res *res,
	const char *params[WEB_READ_PARAMS], struct err *err)
{
	auto_candidate candidate = { .key = NULL };

	(void)res;
	if (web_header(req, "Idempotency-Key"))
		return 0;
	if (read_candidate(req, register_fields, &candidate, err) < 0)
		return -1;
	if (candidate.input.proof)
		return 0;
	params[1] = fingerprint_of(req, &candidate);
	return 2;
}

int certificate_answer_known(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	struct certificate certificate;

	if (!store_certificate_in(rows, &certificate))
		return err_set(err, ERR_UNPROCESSABLE, "certificate.proof_missing",
			"a certificate that is new here needs a proof of possession");
	if (strcmp(certificate.state, "revoked") == 0)
		return err_set(err, ERR_CONFLICT, "certificate.revoked",
			"this key was revoked: make another");
	certificate_answer(req, res, &certificate, 200);
	return 0;
}

static int answer_again(struct web_req *req, struct web_res *res, const char *id, struct err *err)
{
	struct certificate certificate;

	if (store_certificate(
		    req->worker->db, req->principal->tenant, id, req->arena, &certificate, err) < 0)
		return -1;
	certificate_answer(req, res, &certificate, 200);
	return 0;
}

int certificate_create(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_candidate candidate = { .key = NULL };
	struct registration registration = { .name = NULL };
	const char *made;

	if (resource_replayed(req, res, CERTIFICATES_ROUTE, &made, err) < 0)
		return -1;
	if (made)
		return answer_again(req, res, made, err);
	if (read_candidate(req, register_fields, &candidate, err) < 0)
		return -1;
	if (!candidate.input.proof)
		return web_read_answer(
			req, res, &store_certificate_known, fingerprint_of(req, &candidate), err);
	if (parse_candidate(&candidate, err) < 0 || check_possession(req, &candidate, err) < 0)
		return -1;
	registration.name = candidate.input.name;
	if (!registration.name)
		registration.name = certificate_default_name(
			req->arena, candidate.info.subject, candidate.info.spki);
	registration.labels = candidate.labels;
	return keep(req, res, &candidate, &registration, err);
}

/* The new certificate takes name and labels over; the old one is good until its overlap ends. */
int certificate_rotate(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "certificate_id"), *tenant_id = req->principal->tenant;
	auto_candidate candidate = { .key = NULL };
	struct db *db = req->worker->db;
	struct certificate old, retiring;
	struct registration registration;
	const char *made;

	if (resource_replayed(req, res, CERTIFICATE_ROTATE_ROUTE, &made, err) < 0)
		return -1;
	if (made)
		return answer_again(req, res, made, err);
	if (store_certificate(db, tenant_id, id, req->arena, &old, err) < 0 ||
		certificate_may_change(req, &old, err) < 0 ||
		read_candidate(req, rotate_fields, &candidate, err) < 0 ||
		parse_candidate(&candidate, err) < 0 ||
		check_possession(req, &candidate, err) < 0 ||
		check_old_possession(req, &candidate, &old, err) < 0)
		return -1;
	registration = (struct registration) { .name = old.name,
		.labels = old.labels,
		.replaces = &old,
		.overlap_seconds = candidate.input.overlap_seconds };
	if (keep(req, res, &candidate, &registration, err) < 0)
		return -1;
	if (store_certificate(db, tenant_id, id, req->arena, &retiring, err) < 0)
		return -1;
	mirror_add(certreg_of(req->worker), &retiring);
	return 0;
}
