/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom evidence verify|explain: what a sandbox said of itself, judged without any server. */
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"
#include "client/evidence_table.h"
#include "client/profile.h"
#include "client/trust_file.h"
#include "lib/buf.h"
#include "lib/error_text.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define EVIDENCE_MAX_BYTES (1u << 20)

static const struct cli_option options[] = {
	{ "reference", "FILE", "verify: the trust file to believe; default: the profile's" },
	{ "nonce", "TEXT", "verify: the nonce that it has to answer, base64url" },
	{ "claim", "FILE", "verify: the claim that it has to repeat, JSON" },
	{ "memory", "MIB", "verify: the sandbox's memory, when the template leaves a choice" },
	{ "minimum", "CLASS", "verify: none (default), software-tpm or tee" },
	{ "ear", NULL, "verify: the result as an EAR's claims, which nobody signed" },
	{ NULL, NULL, NULL },
};

/* --- verify --- */

static int read_document(const char *path, json_t **ret_doc, struct err *err)
{
	auto_buf text = BUF_INIT(EVIDENCE_MAX_BYTES);

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	*ret_doc = json_parse(text.data ? (char *)text.data : "", text.len, err);
	return *ret_doc ? 0 : err_wrap(err, "'%s'", path);
}

/* The evidence itself, or a sandbox's or attestation's record around it. */
static int read_evidence(const char *path, json_t **ret_evidence, struct err *err)
{
	auto_json json_t *doc = NULL;
	json_t *inner;

	if (read_document(path, &doc, err) < 0)
		return -1;
	inner = json_object_get(doc, "evidence");
	*ret_evidence = json_incref(json_is_object(inner) ? inner : doc);
	return 0;
}

static int read_trust(const struct cli *cli, json_t **ret_trust, struct err *err)
{
	const char *path = cli_value(cli, "reference");
	struct profile profile = { .name = NULL };

	if (path)
		return trust_file_read(path, ret_trust, err);
	if (profile_load(cli->profile, &profile, err) < 0)
		return -1;
	*ret_trust = json_incref(profile.trust);
	profile_release(&profile);
	if (*ret_trust)
		return 0;
	return err_set(err, ERR_INVALID, "profile.no_trust", "profile '%s' has no trust file",
		cli->profile);
}

static json_t *parameters_of(const struct cli *cli)
{
	const char *memory = cli_value(cli, "memory");

	return memory ? json_pack("{s:s}", "memory_mib", memory) : NULL;
}

static const char *template_of(const json_t *evidence)
{
	const char *id =
		json_text(json_object_get(json_object_get(evidence, "initdata"), "template"), "id");

	return id ? id : "";
}

static void print_ear(
	const struct cli *cli, const json_t *result, const json_t *evidence, long long now)
{
	json_t *claims = trust_ear_claims(result, evidence, "strongroom " CLI_VERSION, NULL, now);
	auto_free char *text = json_dumps(claims, JSON_INDENT(1));

	ui_result(cli->ui, claims, "%s", text);
}

static int appraise(const struct cli *cli, const json_t *evidence,
	const struct trust_expect *expect, struct err *err)
{
	auto_json json_t *result = trust_evidence_appraise(evidence, expect);
	const char *class = json_text(result, "class");

	if (cli_switch(cli, "ear"))
		print_ear(cli, result, evidence, expect->now);
	else
		evidence_table_print(cli->ui, result);
	if (trust_appraisal_fail(result, err) < 0)
		return -1;
	evidence_table_say_class(cli->ui, class);
	return 0;
}

static int verify(const struct cli *cli, struct err *err)
{
	const char *claim_path = cli_value(cli, "claim"), *minimum = cli_value(cli, "minimum");
	auto_json json_t *evidence = NULL, *trust = NULL, *claim = NULL,
			 *parameters = parameters_of(cli);
	struct trust_expect expect = { .nonce = cli_value(cli, "nonce"),
		.min_class = minimum ? minimum : "none",
		.activation = EVIDENCE_OFFLINE,
		.is_offline = true,
		.now = clock_unix_ms() / 1000 };
	struct reference reference;

	if (cli->n_arguments < 2)
		return err_set(err, ERR_INVALID, "usage.arguments", "strongroom help evidence");
	if (read_evidence(cli->arguments[1], &evidence, err) < 0 ||
		read_trust(cli, &trust, err) < 0 ||
		(claim_path && read_document(claim_path, &claim, err) < 0) ||
		trust_file_expect(
			trust, template_of(evidence), parameters, &expect, &reference, err) < 0)
		return -1;
	expect.claim = claim;
	return appraise(cli, evidence, &expect, err);
}

/* --- explain --- */

static void explain_one(const struct cli *cli, const char *code)
{
	ui_result(cli->ui,
		json_pack("{s:s,s:s,s:s}", "code", code, "meaning", error_text_meaning(code),
			"help", error_text_help(code)),
		"%-26s %s\n%-26s %s", code, error_text_meaning(code), "", error_text_help(code));
}

static int explain(const struct cli *cli, struct err *err)
{
	const char *code = cli->n_arguments > 1 ? cli->arguments[1] : NULL;

	if (code && !error_text_meaning(code))
		return err_set(
			err, ERR_NOT_FOUND, "client.not_found", "there is no check '%s'", code);
	if (code)
		explain_one(cli, code);
	for (size_t i = 0; !code && error_text_code(i); i++) {
		if (strncmp(error_text_code(i), "evidence.", 9) == 0)
			explain_one(cli, error_text_code(i));
	}
	return 0;
}

static int evidence(const struct cli *cli, struct err *err)
{
	if (strcmp(cli->arguments[0], "verify") == 0)
		return verify(cli, err);
	if (strcmp(cli->arguments[0], "explain") == 0)
		return explain(cli, err);
	return err_set(err, ERR_INVALID, "usage.arguments", "no 'evidence %s'", cli->arguments[0]);
}

const struct command command_evidence = { "evidence", "verify FILE | explain [CODE]",
	"what a sandbox booted: verified here, without a server", options, 1, 2, evidence };
