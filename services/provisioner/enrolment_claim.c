/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /v1/enrolments/{id}/claim: the agent introduces its TPM and asks for the claim of its boot.
 * In a sandbox of the pool there is none yet: it opens its credential, and waits.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/crash.h"
#include "lib/evidence.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/wake.h"
#include "services/provisioner/attestations.h"
#include "services/provisioner/boot.h"
#include "services/provisioner/config.h"
#include "services/provisioner/enrolments.h"
#include "services/provisioner/store_attestations.h"

#define MAX_CERTIFICATE 6000
#define MAX_AK 1024
#define CHALLENGE_SIZE 32u

struct claim_body {
	const char *ek_certificate, *ak, *activated;
};

static const struct json_field fields[] = {
	{ "ek_certificate", JSON_FIELD_TEXT, offsetof(struct claim_body, ek_certificate), false,
		MAX_CERTIFICATE },
	{ "ak", JSON_FIELD_TEXT, offsetof(struct claim_body, ak), false, MAX_AK },
	{ "activated", JSON_FIELD_TEXT, offsetof(struct claim_body, activated), false, 128 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* What the agent is told; released by the handler. */
struct answer {
	json_t *chain, *credential;
};

static json_t *credential_record(const struct tpm_credential *credential)
{
	auto_free char *blob = codec_b64url_text(credential->blob, credential->blob_len);
	auto_free char *secret = codec_b64url_text(credential->secret, credential->secret_len);

	return json_pack("{s:s,s:s}", "blob", blob, "secret", secret);
}

static int keep(struct web_req *req, const struct enrolling *who, const struct vtpm_row *row,
	struct err *err)
{
	struct db *db = req->worker->db;

	return who->is_warm ? store_warm_introduce(db, &who->warm, row->ek_certificate, row->ak,
				      row->activation_hash, err)
			    : store_vtpm_put(db, &who->sandbox, row, err);
}

/* A fresh secret that only the TPM with both keys can open; of it the row has a hash. */
static int challenge(struct web_req *req, const struct enrolling *who,
	const struct claim_body *body, json_t **ret_credential, struct err *err)
{
	unsigned char secret[CHALLENGE_SIZE];
	auto_free char *text = NULL;
	char hash[DIGEST_TEXT_SIZE];
	struct tpm_credential credential;
	const struct vtpm_row row = { body->ek_certificate, body->ak, hash };

	rand_bytes(secret, sizeof(secret));
	text = codec_b64url_text(secret, sizeof(secret));
	digest_text(text, strlen(text), hash);
	if (evidence_credential(
		    body->ek_certificate, body->ak, secret, sizeof(secret), &credential, err) < 0 ||
		keep(req, who, &row, err) < 0)
		return -1;
	*ret_credential = credential_record(&credential);
	return 0;
}

/* Whether this very TPM has opened its credential in this boot. */
static int has_opened(struct web_req *req, const struct enrolling *who,
	const struct claim_body *body, bool *ret_opened, struct err *err)
{
	struct vtpm_row row = { NULL, who->warm.ak, who->warm.activation_hash };
	char hash[DIGEST_TEXT_SIZE];

	*ret_opened = false;
	if (!body->activated)
		return 0;
	if (!who->is_warm &&
		store_vtpm_get(req->worker->db, req->arena, &who->sandbox, &row, err) < 0)
		return -1;
	digest_text(body->activated, strlen(body->activated), hash);
	*ret_opened =
		row.ak && strcmp(row.ak, body->ak) == 0 && strcmp(row.activation_hash, hash) == 0;
	return 0;
}

/* *ret_proved: nothing is to be opened (any more). */
static int introduce(struct web_req *req, const struct enrolling *who, struct answer *answer,
	bool *ret_proved, struct err *err)
{
	const struct provisioner_conf *conf = req->worker->program;
	struct claim_body body = { 0 };

	*ret_proved = true;
	if (json_decode(req->arena, req->json, fields, &body, err) < 0)
		return -1;
	if (!boot_is_measured(who->is_warm ? who->warm.initdata : who->sandbox.initdata))
		return 0;
	if (!body.ek_certificate || !body.ak)
		return err_set(err, ERR_UNPROCESSABLE, "enrolment.no_tpm",
			"a sandbox of this template introduces its TPM");
	if (has_opened(req, who, &body, ret_proved, err) < 0 ||
		attestation_chain(conf->vtpm_chain, &answer->chain, err) < 0)
		return -1;
	return *ret_proved ? 0 : challenge(req, who, &body, &answer->credential, err);
}

/* From now on it may be taken; whoever does so rings its id. */
static int wait_for_claim(
	struct web_req *req, struct web_res *res, const struct warm *warm, struct err *err)
{
	long long wait_ms;

	if (web_wait_ms(req, &wait_ms, err) < 0)
		return -1;
	if (strcmp(warm->state, "warm") != 0) {
		if (store_warm_change(req->worker->db, warm, "warm", err) < 0)
			return -1;
		crash_point("pool", "warm");
	}
	res->status = 204;
	if (wait_ms)
		web_park(req, res, warm->id, wait_ms);
	return 0;
}

static int tell(struct web_req *req, struct web_res *res, const struct enrolling *who,
	const struct answer *answer, bool is_proved, struct err *err)
{
	const struct sandbox *sandbox = &who->sandbox;

	if (who->is_warm && is_proved)
		return wait_for_claim(req, res, &who->warm, err);
	res->json = json_pack("{s:o,s:I,s:O?,s:O?}", "claim",
		who->is_warm ? json_null() : json_loads(sandbox->claim, 0, NULL), "boot",
		(json_int_t)(who->is_warm ? 1 : sandbox->boot), "ek_chain", answer->chain,
		"credential", answer->credential);
	return 0;
}

int enrolment_claim(struct web_req *req, struct web_res *res, struct err *err)
{
	struct answer answer = { NULL, NULL };
	struct enrolling who;
	bool is_proved;
	int r = -1;

	if (enrolment_find(req, &who, err) < 0)
		return -1;
	if (introduce(req, &who, &answer, &is_proved, err) == 0)
		r = tell(req, res, &who, &answer, is_proved, err);
	json_decref(answer.chain);
	json_decref(answer.credential);
	return r;
}
