/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox without a TPM answers with evidence of class none: no credential, nothing activated. */
#include "client/attest.h"

#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define WAIT_MS 180000 /* an agent under emulation, beside an app that computes */

struct question {
	json_t *keys; /* the answer of the first call */
	unsigned char secret[ATTEST_SECRET_SIZE];
	json_t *body;
};

static void question_release(struct question *question)
{
	json_decref(question->keys);
	json_decref(question->body);
	explicit_bzero(question->secret, sizeof(question->secret));
}
#define auto_question __attribute__((cleanup(question_release))) struct question

void attestation_release(struct attestation *attestation)
{
	json_decref(attestation->evidence);
	attestation->evidence = NULL;
}

/* --- asking --- */

static json_t *credential_json(const struct tpm_credential *credential)
{
	auto_free char *blob = codec_b64url_text(credential->blob, credential->blob_len),
		       *secret = codec_b64url_text(credential->secret, credential->secret_len);

	return json_pack("{s:s,s:s}", "blob", blob, "secret", secret);
}

static int make_question(struct question *question, const char *nonce, struct err *err)
{
	const char *ek = json_text(question->keys, "ek_certificate"),
		   *ak = json_text(question->keys, "ak");
	struct tpm_credential credential;

	question->body = json_pack(
		"{s:O*,s:s}", "boot", json_object_get(question->keys, "boot"), "nonce", nonce);
	if (!ek || !ak)
		return 0;
	rand_bytes(question->secret, sizeof(question->secret));
	if (evidence_credential(ek, ak, question->secret, ATTEST_SECRET_SIZE, &credential, err) < 0)
		return -1;
	return json_object_set_new(question->body, "credential", credential_json(&credential));
}

static int ask(
	struct api *api, const char *path, const json_t *body, json_t **ret_answer, struct err *err)
{
	struct api_call call = { .label = "attest",
		.audience = "provisioner",
		.method = "POST",
		.path = path,
		.body = body };

	return api_call(api, &call, ret_answer, NULL, err);
}

/* --- the answer --- */

static bool is_state(const json_t *answer, const char *state)
{
	const char *text = json_text(answer, "state");

	return text && strcmp(text, state) == 0;
}

/* Long polls until the agent has answered; `answer` is replaced. */
static int wait_for(struct api *api, const char *sandbox_id, json_t **answer, struct err *err)
{
	long long until = clock_monotonic_ms() + WAIT_MS;
	const char *id = json_text(*answer, "id");
	auto_free char *path = NULL;

	if (!id)
		return err_set(err, ERR_UPSTREAM, "upstream.protocol", "the attestation has no id");
	path = mem_printf("/v1/sandboxes/%s/attestations/%s?wait=30s", sandbox_id, id);
	while (is_state(*answer, "pending")) {
		struct api_call call = { .label = "attestation",
			.audience = "provisioner",
			.method = "GET",
			.path = path,
			.etag = json_text(*answer, "etag") };
		json_t *next = NULL;

		if (clock_monotonic_ms() > until)
			return err_set(err, ERR_TIMEOUT, "client.timeout",
				"sandbox %s did not answer for %d s", sandbox_id, WAIT_MS / 1000);
		if (api_call(api, &call, &next, NULL, err) < 0)
			return -1;
		if (!next)
			continue;
		json_decref(*answer);
		*answer = next;
	}
	return 0;
}

static int check_done(const json_t *answer, struct err *err)
{
	const json_t *failure = json_object_get(answer, "failure");
	const char *code = json_text(failure, "code"), *detail = json_text(failure, "detail");

	if (is_state(answer, "done") && json_is_object(json_object_get(answer, "evidence")))
		return 0;
	return err_set(err, ERR_UPSTREAM, "evidence.unanswered", "%s: %s", code ? code : "failed",
		detail ? detail : "the sandbox gave no evidence");
}

static bool is_same_member(const json_t *a, const json_t *b, const char *name)
{
	return json_equal(json_object_get(a, name), json_object_get(b, name));
}

enum evidence_activation attest_judge(
	const json_t *keys, const unsigned char secret[ATTEST_SECRET_SIZE], const json_t *answer)
{
	const json_t *report = json_object_get(json_object_get(answer, "evidence"), "report");
	const char *text = json_text(answer, "activated");
	unsigned char activated[ATTEST_SECRET_SIZE];

	if (!secret || !text ||
		codec_b64url_decode_fixed(text, activated, sizeof(activated), NULL) < 0 ||
		!digest_equal(activated, secret, sizeof(activated)) ||
		!is_same_member(report, keys, "ek_certificate") ||
		!is_same_member(report, keys, "ak"))
		return EVIDENCE_NOT_ACTIVATED;
	return EVIDENCE_ACTIVATED;
}

int attest(struct api *api, const char *sandbox_id, struct attestation *ret_attestation,
	struct err *err)
{
	auto_free char *path = mem_printf("/v1/sandboxes/%s:attest", sandbox_id), *nonce = NULL;
	auto_question question = { .keys = NULL };
	auto_json json_t *empty = json_object(), *answer = NULL;
	unsigned char random[TRUST_NONCE_SIZE];

	rand_bytes(random, sizeof(random));
	nonce = codec_b64url_text(random, sizeof(random));
	if (ask(api, path, empty, &question.keys, err) < 0 ||
		make_question(&question, nonce, err) < 0 ||
		ask(api, path, question.body, &answer, err) < 0 ||
		wait_for(api, sandbox_id, &answer, err) < 0 || check_done(answer, err) < 0)
		return -1;
	snprintf(ret_attestation->nonce, sizeof(ret_attestation->nonce), "%s", nonce);
	ret_attestation->evidence = json_deep_copy(json_object_get(answer, "evidence"));
	ret_attestation->activation = attest_judge(question.keys,
		json_object_get(question.body, "credential") ? question.secret : NULL, answer);
	return 0;
}
