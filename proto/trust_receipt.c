/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receipts: an in-toto Statement v1 in a DSSE envelope (github.com/secure-systems-lab/dsse), signed
 * by the machine signing key. A receiver holds it against the policy, the nonce and the bytes that
 * it has itself.
 */
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust_secret.h"

#define PAYLOAD_TYPE "application/vnd.in-toto+json"
#define STATEMENT_TYPE "https://in-toto.io/Statement/v1"
#define PREDICATE_TYPE "urn:strongroom:receipt:v1"
#define MAX_PAYLOAD (512 * 1024)

/* --- shapes --- */

static bool is_payload_type(const char *text)
{
	return strcmp(text, PAYLOAD_TYPE) == 0;
}

static bool is_statement_type(const char *text)
{
	return strcmp(text, STATEMENT_TYPE) == 0;
}

static bool is_predicate_type(const char *text)
{
	return strcmp(text, PREDICATE_TYPE) == 0;
}

static bool is_hex32(const char *text)
{
	unsigned char bytes[DIGEST_SIZE];

	return codec_hex_decode(text, bytes, sizeof(bytes), NULL) == 0;
}

static bool is_limit(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz_");

	return len > 0 && len <= 32 && text[len] == '\0';
}

#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}
#define NAME(n, predicate)                                                                         \
	{                                                                                          \
		.name = (n), .kind = RULE_TEXT, .is = (predicate)                                  \
	}
#define NUMBER(n, low, high)                                                                       \
	{                                                                                          \
		.name = (n), .kind = RULE_NUMBER, .min = (low), .max = (high)                      \
	}

static const struct rule SHA256[] = { NAME("sha256", is_hex32), END };
static const struct rule SUBJECT[] = {
	NAME("name", rule_is_label),
	{ .name = "digest", .kind = RULE_OBJECT, .of = SHA256 },
	END,
};
static const struct rule ONE_SUBJECT = { .name = "", .kind = RULE_OBJECT, .of = SUBJECT };
static const struct rule DIGEST = NAME("", rule_is_digest);
static const struct rule LIMIT = NAME("", is_limit);
static const struct rule IMAGE[] = { NAME("manifest", rule_is_digest),
	NAME("config", rule_is_digest), END };

static const struct rule INPUT[] = {
	NAME("slot", rule_is_slot),
	NAME("dataset", rule_is_dataset),
	NUMBER("version", 1, RULE_MAX),
	{ .name = "digest", .kind = RULE_TEXT, .is = rule_is_digest, .or_null = true },
	END,
};
static const struct rule ONE_INPUT = { .name = "", .kind = RULE_OBJECT, .of = INPUT };

static const struct rule EGRESS[] = {
	{ .name = "target", .kind = RULE_TEXT, .min = 1, .max = 300 },
	NUMBER("bytes_in", 0, RULE_MAX),
	NUMBER("bytes_out", 0, RULE_MAX),
	NUMBER("connections", 1, RULE_MAX),
	END,
};
static const struct rule ONE_EGRESS = { .name = "", .kind = RULE_OBJECT, .of = EGRESS };

static const struct rule PREDICATE[] = {
	NAME("policy", rule_is_digest),
	NAME("run_nonce", rule_is_bytes32),
	NAME("run", rule_is_run),
	NUMBER("fence", 0, RULE_MAX),
	NAME("space", rule_is_space),
	NAME("sandbox", rule_is_sandbox),
	{ .name = "boot_id", .kind = RULE_TEXT, .min = 1, .max = 64 },
	NAME("class", rule_is_class),
	NAME("evidence", rule_is_digest),
	NAME("initdata", rule_is_digest),
	NAME("claim", rule_is_digest),
	NAME("enc", rule_is_bytes32),
	NAME("sig", rule_is_bytes32),
	NUMBER("output_size", 0, RULE_MAX),
	{ .name = "image", .kind = RULE_OBJECT, .of = IMAGE },
	{ .name = "inputs", .kind = RULE_LIST, .max = 64, .of = &ONE_INPUT },
	{ .name = "commitments",
		.kind = RULE_MAP,
		.min = 1,
		.max = 66,
		.is = rule_is_slot,
		.of = &DIGEST },
	{ .name = "outputs", .kind = RULE_LIST, .max = 64, .of = &ONE_INPUT },
	{ .name = "egress", .kind = RULE_LIST, .max = 256, .of = &ONE_EGRESS },
	NUMBER("exit_code", -1, 255),
	NUMBER("signal", 0, 64),
	{ .name = "limits_hit", .kind = RULE_SET, .max = 16, .of = &LIMIT },
	{ .name = "recipients", .kind = RULE_SET, .min = 1, .max = 32, .of = &DIGEST },
	{ .name = "measurements", .kind = RULE_MAP, .max = 8, .is = rule_is_label, .of = &DIGEST },
	RULE_LOG_HEAD,
	NUMBER("started", 1, RULE_MAX),
	NUMBER("ended", 1, RULE_MAX),
	END,
};

static const struct rule STATEMENT[] = {
	NAME("_type", is_statement_type),
	{ .name = "subject", .kind = RULE_LIST, .min = 1, .max = 1, .of = &ONE_SUBJECT },
	NAME("predicateType", is_predicate_type),
	{ .name = "predicate", .kind = RULE_OBJECT, .of = PREDICATE },
	END,
};

static const struct rule SIGNATURE[] = {
	NAME("keyid", rule_is_bytes32),
	{ .name = "sig", .kind = RULE_TEXT, .min = 88, .max = 88 },
	END,
};
static const struct rule ONE_SIGNATURE = { .name = "", .kind = RULE_OBJECT, .of = SIGNATURE };

static const struct rule ENVELOPE[] = {
	NAME("payloadType", is_payload_type),
	{ .name = "payload", .kind = RULE_TEXT, .min = 4, .max = MAX_PAYLOAD },
	{ .name = "signatures", .kind = RULE_LIST, .min = 1, .max = 1, .of = &ONE_SIGNATURE },
	END,
};

/* --- DSSE --- */

/* PAE: "DSSEv1" and both parts with their lengths, so that nothing can be shifted between them. */
static unsigned char *authenticated(const void *body, size_t len, size_t *ret_len)
{
	char head[96];
	int head_len = snprintf(
		head, sizeof(head), "DSSEv1 %zu %s %zu ", strlen(PAYLOAD_TYPE), PAYLOAD_TYPE, len);
	unsigned char *bytes = mem_alloc((size_t)head_len + len);

	memcpy(bytes, head, (size_t)head_len);
	memcpy(bytes + head_len, body, len);
	*ret_len = (size_t)head_len + len;
	return bytes;
}

static int sign(EVP_PKEY *key, const char *keyid, const char *body, size_t len,
	json_t **ret_envelope, struct err *err)
{
	auto_free unsigned char *bytes = NULL;
	unsigned char sig[JOSE_ES256_SIZE];
	auto_free char *sig_text = NULL, *body_text = NULL;
	size_t bytes_len = 0;

	bytes = authenticated(body, len, &bytes_len);
	if (jose_es256_sign(key, bytes, bytes_len, sig, err) < 0)
		return -1;
	sig_text = codec_b64_text(sig, sizeof(sig));
	body_text = codec_b64_text(body, len);
	*ret_envelope = json_pack("{s:s,s:s,s:[{s:s,s:s}]}", "payloadType", PAYLOAD_TYPE, "payload",
		body_text, "signatures", "keyid", keyid, "sig", sig_text);
	return 0;
}

int trust_receipt_make(
	const json_t *sig_private, const json_t *statement, json_t **ret_envelope, struct err *err)
{
	char keyid[JOSE_THUMBPRINT_SIZE];
	auto_key EVP_PKEY *key = NULL;
	auto_free char *text = NULL;
	size_t len = 0;

	if (rule_check(STATEMENT, statement, "receipt.invalid", "receipt", err) < 0 ||
		jose_key_thumbprint(sig_private, keyid, err) < 0 ||
		jose_key_to_evp(sig_private, &key, err) < 0)
		return -1;
	if (strcmp(json_text(json_object_get(statement, "predicate"), "sig"), keyid) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "receipt.wrong_key",
			"the receipt names another machine signing key");
	if (jcs_encode(statement, &text, &len, err) < 0)
		return -1;
	return sign(key, keyid, text, len, ret_envelope, err);
}

/* --- verifying --- */

static int check_signature(const json_t *sig_jwk, const json_t *envelope, const unsigned char *body,
	size_t len, struct err *err)
{
	const json_t *signature = json_array_get(json_object_get(envelope, "signatures"), 0);
	const char *text = json_text(signature, "sig");
	auto_free unsigned char *bytes = NULL, *sig = NULL;
	char keyid[JOSE_THUMBPRINT_SIZE];
	size_t bytes_len = 0, sig_len = 0;
	auto_key EVP_PKEY *key = NULL;

	if (jose_key_thumbprint(sig_jwk, keyid, err) < 0 || jose_key_to_evp(sig_jwk, &key, err) < 0)
		return -1;
	if (strcmp(json_text(signature, "keyid"), keyid) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "receipt.wrong_key",
			"the receipt is signed in the name of another key");
	bytes = authenticated(body, len, &bytes_len);
	if (codec_b64_decode(text, strlen(text), &sig, &sig_len, NULL) < 0 ||
		sig_len != JOSE_ES256_SIZE ||
		jose_es256_verify(key, bytes, bytes_len, sig, NULL) < 0)
		return err_set(err, ERR_UNPROCESSABLE, "receipt.signature",
			"the receipt is not signed by this machine key");
	return 0;
}

static bool is_output(const json_t *statement, const struct trust_receipt_expect *expect)
{
	const json_t *subject = json_array_get(json_object_get(statement, "subject"), 0);
	const json_t *size =
		json_object_get(json_object_get(statement, "predicate"), "output_size");
	char digest[DIGEST_TEXT_SIZE];

	snprintf(digest, sizeof(digest), "sha256:%s",
		json_text(json_object_get(subject, "digest"), "sha256"));
	return strcmp(digest, expect->output_digest) == 0 &&
	       json_integer_value(size) == expect->output_size;
}

static int check_words(const json_t *sig_jwk, const json_t *statement,
	const struct trust_receipt_expect *expect, struct err *err)
{
	const json_t *predicate = json_object_get(statement, "predicate");
	char thumbprint[JOSE_THUMBPRINT_SIZE];

	if (jose_key_thumbprint(sig_jwk, thumbprint, err) < 0)
		return -1;
	if (strcmp(json_text(predicate, "sig"), thumbprint) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "receipt.wrong_key",
			"the receipt names another machine signing key");
	if (strcmp(json_text(predicate, "policy"), expect->policy_hash) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "receipt.wrong_policy",
			"the receipt is for another policy");
	if (strcmp(json_text(predicate, "run_nonce"), expect->run_nonce) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "receipt.wrong_run",
			"the receipt is for another run");
	if (expect->output_digest && !is_output(statement, expect))
		return err_set(err, ERR_UNPROCESSABLE, "receipt.wrong_output",
			"the receipt is for other output bytes");
	return 0;
}

int trust_receipt_check(const json_t *sig_jwk, const json_t *envelope,
	const struct trust_receipt_expect *expect, json_t **ret_statement, struct err *err)
{
	auto_json json_t *statement = NULL;
	auto_free unsigned char *body = NULL;
	const json_t *text;
	size_t len = 0;

	if (rule_check(ENVELOPE, envelope, "receipt.invalid", "receipt", err) < 0)
		return -1;
	text = json_object_get(envelope, "payload");
	if (codec_b64_decode(json_string_value(text), json_string_length(text), &body, &len, NULL) <
		0)
		return err_set(err, ERR_INVALID, "receipt.invalid", "the payload is not base64");
	if (check_signature(sig_jwk, envelope, body, len, err) < 0)
		return -1;
	statement = json_parse((const char *)body, len, NULL);
	if (rule_check(STATEMENT, statement, "receipt.invalid", "receipt", err) < 0 ||
		check_words(sig_jwk, statement, expect, err) < 0)
		return -1;
	if (ret_statement)
		*ret_statement = take_ptr(statement);
	return 0;
}
