/* SPDX-License-Identifier: Apache-2.0 */
/* Orders: a runner's word that these machine keys may run this policy once, under a nonce that the
 * runner made. */
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust_secret.h"

#define TYP "strongroom-order+jws"

static const struct rule ORDER[] = {
	{ .name = "policy", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "run_nonce", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = "enc", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = "sig", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = "spki", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "iat", .kind = RULE_NUMBER, .min = 1, .max = RULE_MAX },
	RULE_LOG_HEAD,
	{ .name = NULL },
};

int trust_order_make(
	EVP_PKEY *key, const struct trust_order *order, json_t **ret_envelope, struct err *err)
{
	auto_json json_t *payload = json_pack("{s:s,s:s,s:s,s:s,s:I,s:O?}", "policy",
		order->policy_hash, "run_nonce", order->run_nonce, "enc", order->enc_thumbprint,
		"sig", order->sig_thumbprint, "iat", (json_int_t)order->issued_at, "log_head",
		order->log_head);

	return trust_envelope_make(key, TYP, payload, ret_envelope, err);
}

static void fill(const json_t *payload, struct trust_order *order)
{
	snprintf(
		order->policy_hash, sizeof(order->policy_hash), "%s", json_text(payload, "policy"));
	snprintf(order->run_nonce, sizeof(order->run_nonce), "%s", json_text(payload, "run_nonce"));
	snprintf(order->enc_thumbprint, sizeof(order->enc_thumbprint), "%s",
		json_text(payload, "enc"));
	snprintf(order->sig_thumbprint, sizeof(order->sig_thumbprint), "%s",
		json_text(payload, "sig"));
	snprintf(order->runner_spki, sizeof(order->runner_spki), "%s", json_text(payload, "spki"));
	order->issued_at = json_integer_value(json_object_get(payload, "iat"));
}

int trust_order_check(const struct trust_policy *policy, const json_t *envelope,
	struct trust_order *ret_order, struct err *err)
{
	auto_json json_t *payload = NULL;
	char spki[DIGEST_TEXT_SIZE];

	if (trust_envelope_open(envelope, TYP, &payload, spki, err) < 0 ||
		rule_check(ORDER, payload, "order.invalid", "order", err) < 0)
		return -1;
	if (strcmp(json_text(payload, "policy"), policy->hash) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "order.wrong_policy",
			"the order is for another policy");
	if (!trust_policy_names(policy, "runners", spki))
		return err_set(err, ERR_UNPROCESSABLE, "order.not_a_runner",
			"the policy does not name this order's key as a runner");
	fill(payload, ret_order);
	return 0;
}

static bool is_key(const json_t *jwk, const char *thumbprint)
{
	char own[JOSE_THUMBPRINT_SIZE];

	return jose_key_thumbprint(jwk, own, NULL) == 0 && strcmp(own, thumbprint) == 0;
}

int trust_order_check_machine(const struct trust_order *order, const json_t *enc_jwk,
	const json_t *sig_jwk, struct err *err)
{
	if (!is_key(enc_jwk, order->enc_thumbprint) || !is_key(sig_jwk, order->sig_thumbprint))
		return err_set(err, ERR_UNPROCESSABLE, "order.wrong_machine",
			"the order is for other machine keys");
	return 0;
}
