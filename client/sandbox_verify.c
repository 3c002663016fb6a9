/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence against trust file and claim. What the sandbox said at its enrolment is what a receipt
 * will name; of a measured one we ask again ourselves, with our own nonce and credential, and both
 * answers must come from the same machine keys, TPM and attestation key.
 */
#include "client/sandbox_verify.h"

#include <string.h>

#include "client/evidence_table.h"
#include "client/trust_file.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

static bool is_same(const json_t *a, const json_t *b, const char *name)
{
	return json_equal(json_object_get(a, name), json_object_get(b, name));
}

static int other_machine(struct err *err)
{
	return err_set(err, ERR_UNPROCESSABLE, "evidence.other_machine",
		"who answers now has other keys than who enrolled");
}

static int check_same_machine(const json_t *enrolled, const json_t *attested, struct err *err)
{
	const json_t *before = json_object_get(enrolled, "report"),
		     *now = json_object_get(attested, "report");

	if (is_same(enrolled, attested, "enc") && is_same(enrolled, attested, "sig") &&
		is_same(enrolled, attested, "initdata") && is_same(before, now, "ek_certificate") &&
		is_same(before, now, "ak"))
		return 0;
	return other_machine(err);
}

/* All checks of one document are shown, whether they hold or not. */
static int verify_one(struct ui *ui, const json_t *evidence, const struct trust_expect *expect,
	json_t **ret_result, struct err *err)
{
	auto_json json_t *result = trust_evidence_appraise(evidence, expect);

	if (trust_appraisal_fail(result, err) < 0) {
		evidence_table_note(ui, result);
		return -1;
	}
	*ret_result = take_ptr(result);
	return 0;
}

/* The second question, of a measured sandbox. */
static int ask_again(const struct project *project, const json_t *enrolled,
	const struct trust_expect *first, json_t **ret_result, struct err *err)
{
	auto_attestation attestation = { .evidence = NULL };
	struct trust_expect expect = *first;

	if (attest(project->api, expect.sandbox_id, &attestation, err) < 0)
		return -1;
	expect.nonce = attestation.nonce;
	expect.activation = attestation.activation;
	if (verify_one(project->ui, attestation.evidence, &expect, ret_result, err) < 0)
		return -1;
	return check_same_machine(enrolled, attestation.evidence, err);
}

static int verify_all(const struct project *project, const json_t *evidence,
	const struct trust_expect *expect, json_t **ret_result, struct err *err)
{
	auto_json json_t *again = NULL;

	if (verify_one(project->ui, evidence, expect, ret_result, err) < 0)
		return -1;
	if (!json_is_object(json_object_get(evidence, "report")))
		return 0;
	if (ask_again(project, evidence, expect, &again, err) < 0)
		return -1;
	json_decref(*ret_result);
	*ret_result = take_ptr(again);
	return 0;
}

int sandbox_verify(const struct project *project, const struct sandbox_conf *conf,
	const json_t *sandbox, const json_t *claim, json_t **ret_verified, struct err *err)
{
	const json_t *evidence = json_object_get(sandbox, "evidence");
	struct trust_expect expect = { .sandbox_id = json_text(sandbox, "id"),
		.nonce = json_text(claim, "nonce"),
		.claim = claim,
		.min_class = conf->accept,
		.activation = EVIDENCE_OFFLINE,
		.now = clock_unix_ms() / 1000 };
	auto_json json_t *result = NULL;
	char digest[DIGEST_TEXT_SIZE];
	struct reference reference;

	if (!profile_template(&project->profile, conf->template_id, err))
		return -1;
	if (!json_is_object(evidence))
		return err_set(
			err, ERR_UPSTREAM, "evidence.missing", "the sandbox shows no evidence");
	if (trust_file_expect(project->profile.trust, conf->template_id, conf->parameters, &expect,
		    &reference, err) < 0 ||
		verify_all(project, evidence, &expect, &result, err) < 0 ||
		jcs_digest(evidence, digest, err) < 0)
		return -1;
	evidence_table_note(project->ui, result);
	*ret_verified = json_pack("{s:s,s:O,s:s,s:O,s:O,s:s,s:O,s:s,s:O*,s:n}", "id",
		expect.sandbox_id, "boot", json_object_get(sandbox, "boot"), "class",
		json_text(result, "class"), "enc", json_object_get(evidence, "enc"), "sig",
		json_object_get(evidence, "sig"), "evidence", digest, "claim", claim, "template",
		conf->template_id, "parameters", conf->parameters, "used_by");
	return 0;
}

/* --- once more --- */

int sandbox_attest(const struct project *project, struct attestation *ret_attestation,
	json_t **ret_result, struct err *err)
{
	const json_t *known = sandbox_verified(project);
	struct trust_expect expect = { .sandbox_id = json_text(known, "id"),
		.claim = json_object_get(known, "claim"),
		.min_class = json_text(known, "class"),
		.now = clock_unix_ms() / 1000 };
	const char *template = json_text(known, "template");
	struct reference reference;

	if (trust_file_expect(project->profile.trust, template ? template : "",
		    json_object_get(known, "parameters"), &expect, &reference, err) < 0 ||
		attest(project->api, expect.sandbox_id, ret_attestation, err) < 0)
		return -1;
	expect.nonce = ret_attestation->nonce;
	expect.activation = ret_attestation->activation;
	*ret_result = trust_evidence_appraise(ret_attestation->evidence, &expect);
	return 0;
}

int sandbox_judge(const struct project *project, const struct attestation *attestation,
	const json_t *result, struct err *err)
{
	const json_t *known = sandbox_verified(project);

	if (trust_appraisal_fail(result, err) < 0)
		return -1;
	if (is_same(known, attestation->evidence, "enc") &&
		is_same(known, attestation->evidence, "sig"))
		return 0;
	return other_machine(err);
}
