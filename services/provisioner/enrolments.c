/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of /v1/enrolments. A wrong secret and an unknown sandbox look the same. */
#include "services/provisioner/enrolments.h"

#include <stdlib.h>
#include <string.h>

#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/wake.h"
#include "proto/trust.h"
#include "services/provisioner/boot.h"
#include "services/provisioner/store_attestations.h"
#include "services/provisioner/verdict.h"

#define SCHEME "Enrolment "
struct enrolment_body {
	long long boot;
	const char *activated;
	json_t *evidence;
};

static const struct json_field fields[] = {
	{ "boot", JSON_FIELD_COUNT, offsetof(struct enrolment_body, boot), true, 0 },
	{ "activated", JSON_FIELD_TEXT, offsetof(struct enrolment_body, activated), false, 128 },
	{ "evidence", JSON_FIELD_OBJECT, offsetof(struct enrolment_body, evidence), true, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int denied(struct err *err)
{
	return err_set(err, ERR_UNAUTHENTICATED, "enrolment.denied",
		"the enrolment secret is wrong, used up or older than 5 minutes");
}

int enrolment_find(struct web_req *req, struct enrolling *ret_who, struct err *err)
{
	const char *id = web_param(req, "sandbox_id"), *header = web_header(req, "Authorization"),
		   *tenant = NULL;
	struct db *db = req->worker->db;
	char hash[DIGEST_TEXT_SIZE];

	*ret_who = (struct enrolling) { .is_warm = false };
	if (!header || strncmp(header, SCHEME, strlen(SCHEME)) != 0)
		return denied(err);
	header += strlen(SCHEME);
	digest_text(header, strlen(header), hash);
	if (store_sweep_enrolment(db, req->arena, id, hash, &tenant, err) < 0)
		return -1;
	if (tenant)
		return store_get(db, req->arena, tenant, id, &ret_who->sandbox, err);
	if (store_warm_enrolment(db, req->arena, id, hash, &ret_who->warm, &ret_who->is_warm, err) <
		0)
		return -1;
	return ret_who->is_warm ? 0 : denied(err);
}

/* The sandbox whose living enrolment secret the request carries; without a claim nothing enrols. */
static int authenticate(struct web_req *req, struct sandbox *ret_sandbox, struct err *err)
{
	struct enrolling who;

	if (enrolment_find(req, &who, err) < 0)
		return -1;
	*ret_sandbox = who.sandbox;
	return who.is_warm ? denied(err) : 0;
}

int enrolment_admit(struct web_req *req, struct web_res *res, struct err *err)
{
	struct enrolling who;

	(void)res;
	return enrolment_find(req, &who, err);
}

/* The agent of a measured sandbox opened what was made for the keys that it introduced. */
static int check_activation(
	struct web_req *req, const struct sandbox *sandbox, const char *activated, struct err *err)
{
	char hash[DIGEST_TEXT_SIZE] = "";
	struct vtpm_row row;

	if (!boot_is_measured(sandbox->initdata))
		return 0;
	if (store_vtpm_get(req->worker->db, req->arena, sandbox, &row, err) < 0)
		return -1;
	if (activated)
		digest_text(activated, strlen(activated), hash);
	if (!row.activation_hash || strcmp(row.activation_hash, hash) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "enrolment.not_activated",
			"the credential was not opened: the TPM is not the one introduced");
	return 0;
}

/* The same evidence document again is the retry of an answer that was lost; other keys are not. */
static int already_enrolled(struct web_req *req, struct web_res *res, const struct sandbox *sandbox,
	const struct sandbox *presented, struct err *err)
{
	(void)req;
	if (strcmp(sandbox->enc, presented->enc) != 0 || strcmp(sandbox->sig, presented->sig) != 0)
		return err_set(err, ERR_CONFLICT, "enrolment.other_keys",
			"this boot registered other machine keys");
	res->json = json_pack("{s:s,s:I}", "id", sandbox->id, "boot", (json_int_t)sandbox->boot);
	return 0;
}

static int thumbprints(struct web_req *req, const json_t *enc_jwk, const json_t *sig_jwk,
	struct sandbox *presented, struct err *err)
{
	char enc[JOSE_THUMBPRINT_SIZE], sig[JOSE_THUMBPRINT_SIZE];

	if (jose_key_thumbprint(enc_jwk, enc, err) < 0 ||
		jose_key_thumbprint(sig_jwk, sig, err) < 0)
		return -1;
	presented->enc = arena_strdup(req->arena, enc);
	presented->sig = arena_strdup(req->arena, sig);
	return 0;
}

static const char *compact(struct web_req *req, const json_t *value)
{
	auto_free char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);

	return arena_strdup(req->arena, text);
}

/* The evidence must bind these keys to this sandbox's initdata and claim; what it proves is the
 * client's to judge. */
static int check_evidence(struct web_req *req, const struct sandbox *sandbox,
	const json_t *evidence, struct sandbox *ret_presented, struct err *err)
{
	auto_json json_t *claim = json_loads(sandbox->claim, 0, NULL), *enc_jwk = NULL,
			 *sig_jwk = NULL;
	const struct trust_expect expect =
		verdict_expect(sandbox, claim, json_text(claim, "nonce"));

	*ret_presented = *sandbox;
	if (trust_evidence_bound(evidence, &expect, &enc_jwk, &sig_jwk, err) < 0 ||
		thumbprints(req, enc_jwk, sig_jwk, ret_presented, err) < 0)
		return -1;
	if (!sandbox->enc && verdict_store(req, sandbox, evidence, &expect, err) < 0)
		return -1;
	ret_presented->evidence = compact(req, evidence);
	ret_presented->enc_jwk = compact(req, enc_jwk);
	ret_presented->sig_jwk = compact(req, sig_jwk);
	return 0;
}

int enrolment_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct sandbox sandbox, presented;
	struct enrolment_body body = { 0 };

	if (authenticate(req, &sandbox, err) < 0 ||
		json_decode(req->arena, req->json, fields, &body, err) < 0)
		return -1;
	if (body.boot != sandbox.boot)
		return err_set(err, ERR_CONFLICT, "enrolment.other_boot",
			"the sandbox is in boot %lld", sandbox.boot);
	if (check_activation(req, &sandbox, body.activated, err) < 0 ||
		check_evidence(req, &sandbox, body.evidence, &presented, err) < 0)
		return -1;
	if (sandbox.enc)
		return already_enrolled(req, res, &sandbox, &presented, err);
	if (store_enrol(req->worker->db, &presented, err) < 0)
		return -1;
	log_info("sandbox enrolled", "sandbox", sandbox.id, "sig", presented.sig, NULL);
	wake_ring(req->worker->wake, "sandbox", sandbox.id);
	wake_ring(req->worker->wake, "web", sandbox.id);
	res->status = 201;
	res->json = json_pack("{s:s,s:I}", "id", sandbox.id, "boot", (json_int_t)sandbox.boot);
	return 0;
}
