/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of sandboxes: every request comes with a proof by the machine signing key, and each proof
 * counts once. */
#include "tests/unit/auth_fixture.h"

static char *agent_token(void)
{
	char thumbprint[JOSE_THUMBPRINT_SIZE];
	json_t *claims = claims_of(SANDBOX, "policy");
	auto_json json_t *jwk = NULL;

	CHECK_NUMBER(jose_key_from_evp(agent, "sig", &jwk, NULL), 0);
	CHECK_NUMBER(jose_key_thumbprint(jwk, thumbprint, NULL), 0);
	json_object_set_new(claims, "cnf", json_pack("{s:s}", "jkt", thumbprint));
	return sign(issuer, "strongroom-agent+jwt", "k1", claims);
}

static json_t *proof_claims(const char *token, const char *jti)
{
	unsigned char digest[DIGEST_SIZE];
	auto_free char *ath = NULL;

	digest_sha256(token, strlen(token), digest);
	ath = codec_b64url_text(digest, sizeof(digest));
	return json_pack("{s:s, s:s, s:I, s:s, s:s}", "htm", "GET", "htu",
		BASE_URL "/v1/agent/a%20b", "iat", unix_s(), "jti", jti, "ath", ath);
}

static char *prove(EVP_PKEY *key, json_t *claims)
{
	char *proof = NULL;

	CHECK_NUMBER(jose_proof_sign(key, claims, &proof, NULL), 0);
	json_decref(claims);
	return proof;
}

static int check_agent(const char *token, const char *proof, struct err *err)
{
	return check_as(WEB_AGENT, "DPoP", token, proof, NULL, err);
}

static void test_agent(void)
{
	auto_free char *token = agent_token();
	auto_free char *proof = prove(agent, proof_claims(token, "one"));
	json_t *by_name = proof_claims(token, "two");
	auto_free char *second = NULL, *by_stranger = prove(stranger, proof_claims(token, "three"));
	struct err err;

	json_object_set_new(
		by_name, "htu", json_string("https://10.0.2.2:8443/v1/agent/a%20b?x=1"));
	second = prove(agent, by_name);
	CHECK_NUMBER(check_agent(token, proof, &err), 0);
	CHECK_NUMBER(check_agent(token, second, &err), 0);
	CHECK_FAILS(check_agent(token, NULL, &err), &err, "auth.proof_missing");
	CHECK_FAILS(check_agent(token, by_stranger, &err), &err, "auth.proof_invalid");
	CHECK_FAILS(check_agent(token, token, &err), &err, "auth.proof_invalid");
	CHECK_FAILS(check_agent(token, "x", &err), &err, "auth.proof_invalid");
	CHECK_FAILS(check_as(WEB_AGENT, "Bearer", token, proof, NULL, &err), &err, "auth.missing");
}

static void refuse_proof(const char *token, const char *name, json_t *value)
{
	json_t *claims = proof_claims(token, name);
	auto_free char *proof = NULL;
	struct err err;

	if (value)
		json_object_set_new(claims, name, value);
	else
		json_object_del(claims, name);
	proof = prove(agent, claims);
	CHECK_FAILS(check_agent(token, proof, &err), &err, "auth.proof_invalid");
}

static void test_proof_claims(void)
{
	static const char *const urls[] = { BASE_URL "/v1/agent/a", BASE_URL "/v1/agent/a%20bc",
		BASE_URL, "https://elsewhere/v1/agent/a%20b", "http://10.0.2.2:8443/v1/agent/a%20b",
		"https://10.0.2.2:443/v1/agent/a%20b" /* the Host of the request */,
		"https://10.0.2.2:844/v1/agent/a%20b", "https:///v1/agent/a%20b",
		BASE_URL ".evil/v1/agent/a%20b", "/v1/agent/a%20b", BASE_URL "/v1/agent/a%2",
		BASE_URL "/v1/agent/a%20b%00", "" };
	static const char *const names[] = { "htm", "htu", "iat", "jti", "ath" };
	auto_free char *token = agent_token(), *other = member_token();
	auto_json json_t *elsewhere = proof_claims(other, "x");

	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		refuse_proof(token, "htu", json_string(urls[i]));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		refuse_proof(token, names[i], NULL);
	refuse_proof(token, "htm", json_string("POST"));
	refuse_proof(token, "iat", json_integer(unix_s() - 70));
	refuse_proof(token, "iat", json_integer(unix_s() + 10));
	refuse_proof(token, "jti", json_string(""));
	refuse_proof(token, "jti", json_integer(1));
	refuse_proof(token, "ath", json_incref(json_object_get(elsewhere, "ath")));
}

static void test_proof_of_another_type(void)
{
	auto_free char *token = agent_token();
	auto_free char *typed = sign(agent, "at+jwt", "k", proof_claims(token, "typed"));
	struct err err;

	CHECK_FAILS(check_agent(token, typed, &err), &err, "auth.proof_invalid");
}

/* A proof is refused again for as long as its iat would let it in, whatever time has passed since.
 */
static void test_replay(void)
{
	auto_free char *token = agent_token();
	json_t *late = proof_claims(token, "late");
	auto_free char *proof = prove(agent, proof_claims(token, "replayed")), *early = NULL;
	struct err err;

	json_object_set_new(late, "iat", json_integer(unix_s() + 4));
	early = prove(agent, late);
	CHECK_NUMBER(check_agent(token, proof, &err), 0);
	CHECK_NUMBER(check_agent(token, early, &err), 0);
	for (int i = 0; i < 7; i++) {
		CHECK_FAILS(check_agent(token, proof, &err), &err, "auth.replayed");
		CHECK_FAILS(check_agent(token, early, &err), &err, "auth.replayed");
		clock_offset_s += 10;
		CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
	}
	CHECK_FAILS(check_agent(token, proof, &err), &err, "auth.proof_invalid");
}

/* Only proofs that hold are remembered: a forged one must not use up another's jti. */
static void test_forged_jti_is_not_remembered(void)
{
	auto_free char *token = agent_token();
	auto_free char *forged = prove(stranger, proof_claims(token, "shared"));
	auto_free char *real = prove(agent, proof_claims(token, "shared"));
	struct err err;

	CHECK_FAILS(check_agent(token, forged, &err), &err, "auth.proof_invalid");
	CHECK_NUMBER(check_agent(token, real, &err), 0);
}

static void test_agent_revoked_and_unbound(void)
{
	auto_free char *token = agent_token(), *unbound = NULL;
	auto_free char *proof = prove(agent, proof_claims(token, "revoked"));
	struct err err;

	unbound = sign(issuer, "strongroom-agent+jwt", "k1", claims_of(SANDBOX, "policy"));
	CHECK_FAILS(check_agent(unbound, proof, &err), &err, "auth.invalid_token");
	CHECK_NUMBER(refresh(3, SANDBOX, unix_s() + 100, &err), 0);
	CHECK_FAILS(check_agent(token, proof, &err), &err, "auth.revoked");
	CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
}

int main(void)
{
	setup();
	CHECK_NUMBER(refresh(3, NULL, 0, NULL), 0);
	test_agent();
	test_proof_claims();
	test_proof_of_another_type();
	test_replay();
	test_forged_jti_is_not_remembered();
	test_agent_revoked_and_unbound();
	teardown();
	CHECK_DONE();
}
