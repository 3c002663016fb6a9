/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence against trust file and claim. Reference values that the server shows are never adopted.
 */
#include "client/sandbox_verify.h"

#include <string.h>

#include "lib/json.h"
#include "proto/trust.h"

void sandbox_say_class(struct ui *ui, const char *class)
{
	const char *text = "";
	bool is_readable = strncmp(class, "tee", 3) != 0;

	if (strcmp(class, "none") == 0)
		text = "EVIDENCE none: the operator of this server can read the image, the data "
		       "and the output";
	else if (strcmp(class, "software-tpm") == 0)
		text = "measured, not confidential: the host's root can read everything";
	if (ui->json)
		ui_object(ui, "evidence",
			json_pack("{s:s,s:b,s:s}", "class", class, "operator_can_read", is_readable,
				"text", text));
	else if (is_readable)
		ui_note(ui, "%s", text);
	else
		ui_note(ui, "evidence class %s", class);
}

static void show_checks(struct ui *ui, const json_t *result)
{
	const json_t *check;
	size_t i;

	if (ui->json)
		ui_object(ui, "attestation", json_deep_copy(result));
	json_array_foreach (json_object_get(result, "checks"), i, check) {
		if (!ui->json && strcmp(json_text(check, "result"), "ok") != 0)
			ui_note(ui, "%s: %s", json_text(check, "name"), json_text(check, "result"));
	}
}

int sandbox_verify(const struct project *project, const struct sandbox_conf *conf,
	const json_t *sandbox, const json_t *claim, json_t **ret_verified, struct err *err)
{
	const json_t *reference = profile_template(&project->profile, conf->template_id, err);
	const json_t *evidence = json_object_get(sandbox, "evidence");
	auto_json json_t *result = NULL, *enc = NULL, *sig = NULL;
	char digest[DIGEST_TEXT_SIZE];
	struct trust_expect expect;

	if (!reference)
		return -1;
	if (!json_is_object(evidence))
		return err_set(
			err, ERR_UPSTREAM, "evidence.missing", "the sandbox shows no evidence");
	expect = (struct trust_expect) {
		.sandbox_id = json_text(sandbox, "id"),
		.template_id = conf->template_id,
		.edge_ca_spki = json_text(project->profile.trust, "edge_ca_spki"),
		.nonce = json_text(claim, "nonce"),
		.template_version = json_integer_value(json_object_get(reference, "version")),
		.claim = claim,
		.min_class = conf->accept,
	};
	if (trust_evidence_verify(evidence, &expect, &result, &enc, &sig, err) < 0 ||
		jcs_digest(evidence, digest, err) < 0)
		return -1;
	show_checks(project->ui, result);
	*ret_verified = json_pack("{s:s,s:O,s:s,s:O,s:O,s:s,s:n}", "id", expect.sandbox_id, "boot",
		json_object_get(sandbox, "boot"), "class", json_text(result, "class"), "enc", enc,
		"sig", sig, "evidence", digest, "used_by");
	return 0;
}
