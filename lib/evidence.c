/* SPDX-License-Identifier: Apache-2.0 */
/* The list of checks, and those of the attestation key and its quote. */
#include "lib/evidence.h"

#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/evidence_inner.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"

#define PART_MAX_TEXT (1u << 20)

/* TPM_ALG_ECC, TPM_ALG_ECDSA, TPM_ALG_SHA256, TPM_ECC_NIST_P256 */
#define ALG_ECC 0x0023
#define ALG_ECDSA 0x0018
#define ALG_SHA256 0x000b
#define CURVE_P256 0x0003

static const char *const RESULTS[] = {
	[EVIDENCE_OK] = "ok",
	[EVIDENCE_FAILED] = "failed",
	[EVIDENCE_NOT_MEASURED] = "not_measured",
	[EVIDENCE_NOT_PROVABLE_OFFLINE] = "not_provable_offline",
};

/* What a stranger wrote, for a terminal and for JSON: a row must never be lost for its bytes. */
static json_t *printable(const char *text)
{
	auto_free char *copy = text ? mem_strdup(text) : NULL;

	if (!copy)
		return json_null();
	for (char *c = copy; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return json_string(copy);
}

void evidence_note(json_t *checks, const char *code, const char *name, enum evidence_result result,
	const char *expected, const char *actual)
{
	json_array_append_new(checks, json_pack("{s:s,s:s,s:o,s:o,s:s}", "code", code, "name", name,
					      "expected", printable(expected), "actual",
					      printable(actual), "result", RESULTS[result]));
}

const json_t *evidence_failed(const json_t *checks)
{
	const json_t *check;
	size_t i;

	json_array_foreach (checks, i, check) {
		if (strcmp(json_text(check, "result"), RESULTS[EVIDENCE_FAILED]) == 0)
			return check;
	}
	return NULL;
}

/* --- the report's form --- */

static bool decode(const json_t *text, struct evidence_bytes *bytes)
{
	return json_is_string(text) && json_string_length(text) <= PART_MAX_TEXT &&
	       codec_b64url_decode(json_string_value(text), json_string_length(text), &bytes->data,
		       &bytes->len, NULL) == 0 &&
	       bytes->len > 0;
}

static bool decode_chain(const json_t *chain, struct evidence_report *report)
{
	const json_t *certificate;
	size_t i;

	if (!json_is_array(chain) || json_array_size(chain) > EVIDENCE_CHAIN_MAX)
		return false;
	json_array_foreach (chain, i, certificate) {
		if (!decode(certificate, &report->chain[report->chain_len++]))
			return false;
	}
	return true;
}

static bool decode_report(const json_t *json, struct evidence_report *report)
{
	const char *type = json_text(json, "type");

	return json_object_size(json) == 7 && type && strcmp(type, "tpm2") == 0 &&
	       decode(json_object_get(json, "ek_certificate"), &report->ek_certificate) &&
	       decode_chain(json_object_get(json, "ek_chain"), report) &&
	       decode(json_object_get(json, "ak"), &report->ak) &&
	       decode(json_object_get(json, "quote"), &report->quote) &&
	       decode(json_object_get(json, "signature"), &report->signature) &&
	       decode(json_object_get(json, "event_log"), &report->event_log);
}

static void report_release(struct evidence_report *report)
{
	free(report->ek_certificate.data);
	for (size_t i = 0; i < report->chain_len; i++)
		free(report->chain[i].data);
	free(report->ak.data);
	free(report->quote.data);
	free(report->signature.data);
	free(report->event_log.data);
}
#define auto_report __attribute__((cleanup(report_release))) struct evidence_report

/* --- the attestation key --- */

static void check_attributes(const struct tpm_public *ak, json_t *checks)
{
	char expected[16], actual[16];

	snprintf(expected, sizeof(expected), "0x%08x", TPM_AK_ATTRIBUTES);
	snprintf(actual, sizeof(actual), "0x%08x", ak->attributes);
	evidence_note(checks, "evidence.ak_attributes", "attestation key: attributes",
		ak->attributes == TPM_AK_ATTRIBUTES ? EVIDENCE_OK : EVIDENCE_FAILED, expected,
		actual);
}

static void check_scheme(const struct tpm_public *ak, json_t *checks)
{
	bool is_right = ak->type == ALG_ECC && ak->curve == CURVE_P256 && ak->scheme == ALG_ECDSA &&
			ak->hash == ALG_SHA256;
	char actual[80];

	snprintf(actual, sizeof(actual), "type 0x%04x, curve 0x%04x, scheme 0x%04x, hash 0x%04x",
		ak->type, ak->curve, ak->scheme, ak->hash);
	evidence_note(checks, "evidence.ak_scheme", "attestation key: scheme",
		is_right ? EVIDENCE_OK : EVIDENCE_FAILED, "P-256, ECDSA, SHA-256",
		is_right ? "P-256, ECDSA, SHA-256" : actual);
}

/* Name and key of the attestation key; the key stays NULL when there is none to verify with. */
static void check_ak(const struct evidence_bytes *bytes, EVP_PKEY **ret_key, json_t *checks)
{
	struct err err = { .kind = ERR_NONE };
	struct tpm_public ak;

	if (tpm_public_parse(bytes->data, bytes->len, &ak, &err) < 0) {
		evidence_note(checks, "evidence.ak_scheme", "attestation key: scheme",
			EVIDENCE_FAILED, "P-256, ECDSA, SHA-256", err.detail);
		return;
	}
	check_attributes(&ak, checks);
	check_scheme(&ak, checks);
	if (ak.type == ALG_ECC && tpm_public_key(&ak, ret_key, &err) < 0)
		evidence_note(checks, "evidence.ak_scheme", "attestation key: public key",
			EVIDENCE_FAILED, "a point of P-256", err.detail);
}

static void check_activation(enum evidence_activation activation, json_t *checks)
{
	static const struct {
		enum evidence_result result;
		const char *actual;
	} rows[] = {
		[EVIDENCE_OFFLINE] = { EVIDENCE_NOT_PROVABLE_OFFLINE, "no credential was made" },
		[EVIDENCE_ACTIVATED] = { EVIDENCE_OK, "the verifier's own secret came back" },
		[EVIDENCE_NOT_ACTIVATED] = { EVIDENCE_FAILED, "another secret came back" },
	};

	evidence_note(checks, "evidence.activation", "attestation key lives in that TPM",
		rows[activation].result, "the verifier's own secret comes back",
		rows[activation].actual);
}

/* --- the quote --- */

static void check_signature(const struct evidence_report *report, EVP_PKEY *key, json_t *checks)
{
	struct err err = { .kind = ERR_NONE };
	bool is_good = key && tpm_signature_verify(key, report->quote.data, report->quote.len,
				      report->signature.data, report->signature.len, &err) == 0;

	evidence_note(checks, "evidence.quote_signature", "quote: signature",
		is_good ? EVIDENCE_OK : EVIDENCE_FAILED, "by the attestation key",
		is_good ? "by the attestation key"
		: key	? err.detail
			: "there is no attestation key");
}

static void check_extra_data(
	const struct tpm_quote *quote, const unsigned char binding[DIGEST_SIZE], json_t *checks)
{
	char expected[CODEC_HEX_SIZE(DIGEST_SIZE)], actual[CODEC_HEX_SIZE(64)];

	codec_hex(binding, DIGEST_SIZE, expected);
	codec_hex(quote->extra_data, quote->extra_data_len, actual);
	evidence_note(checks, "evidence.extra_data",
		"quote: bound to machine keys, nonce, initdata, claim",
		strcmp(expected, actual) == 0 ? EVIDENCE_OK : EVIDENCE_FAILED, expected, actual);
}

static void check_selection(const struct tpm_quote *quote, json_t *checks)
{
	char expected[16], actual[16];

	snprintf(expected, sizeof(expected), "0x%06x", EVIDENCE_PCR_SELECT);
	snprintf(actual, sizeof(actual), "0x%06x", quote->pcr_select);
	evidence_note(checks, "evidence.pcr_selection", "quote: which PCRs",
		quote->pcr_select == EVIDENCE_PCR_SELECT ? EVIDENCE_OK : EVIDENCE_FAILED, expected,
		actual);
}

static bool check_quote(const struct evidence_report *report, const struct evidence_expect *expect,
	EVP_PKEY *key, struct tpm_quote *ret_quote, json_t *checks)
{
	struct err err = { .kind = ERR_NONE };
	bool is_quote =
		tpm_quote_parse(report->quote.data, report->quote.len, ret_quote, &err) == 0;

	evidence_note(checks, "evidence.quote_form", "quote: magic and type",
		is_quote ? EVIDENCE_OK : EVIDENCE_FAILED, "a quote that a TPM made",
		is_quote ? "a quote that a TPM made" : err.detail);
	check_signature(report, key, checks);
	if (!is_quote)
		return false;
	check_extra_data(ret_quote, expect->binding, checks);
	check_selection(ret_quote, checks);
	return ret_quote->pcr_select == EVIDENCE_PCR_SELECT;
}

void evidence_check_report(
	const json_t *report, const struct evidence_expect *expect, json_t *checks)
{
	auto_report parts = { .chain_len = 0 };
	struct tpm_quote quote;
	auto_key EVP_PKEY *key = NULL;
	bool has_quote;

	if (!decode_report(report, &parts)) {
		evidence_note(checks, "evidence.report", "report: form", EVIDENCE_FAILED,
			"a report of the type tpm2", "something else");
		return;
	}
	evidence_check_ek(&parts, expect, checks);
	check_ak(&parts.ak, &key, checks);
	check_activation(expect->activation, checks);
	has_quote = check_quote(&parts, expect, key, &quote, checks);
	evidence_check_pcrs(&parts.event_log, has_quote ? &quote : NULL, expect, checks);
}

int evidence_credential(const char *ek_certificate, const char *ak, const void *secret, size_t len,
	struct tpm_credential *ret_credential, struct err *err)
{
	auto_report parts = { .chain_len = 0 };
	auto_key EVP_PKEY *key = NULL;
	struct tpm_public public;

	if (codec_b64url_decode(ek_certificate, strlen(ek_certificate), &parts.ek_certificate.data,
		    &parts.ek_certificate.len, err) < 0 ||
		codec_b64url_decode(ak, strlen(ak), &parts.ak.data, &parts.ak.len, err) < 0 ||
		evidence_ek_key(&parts.ek_certificate, &key, err) < 0 ||
		tpm_public_parse(parts.ak.data, parts.ak.len, &public, err) < 0)
		return -1;
	return tpm_make_credential(key, public.name, secret, len, ret_credential, err);
}
