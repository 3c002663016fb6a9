/* SPDX-License-Identifier: Apache-2.0 */
/* Pure rules of certreg: forms, scopes, roles, registry access, assertions, the signed message,
 * PEM. */
#include <stdlib.h>
#include <time.h>

#include "lib/auth.h"
#include "lib/id.h"
#include "lib/json.h"
#include "services/certreg/agents.h"
#include "services/certreg/assertions.h"
#include "services/certreg/certificates.h"
#include "services/certreg/credentials.h"
#include "services/certreg/form.h"
#include "services/certreg/issuer.h"
#include "services/certreg/keys.h"
#include "services/certreg/members.h"
#include "services/certreg/names.h"
#include "services/certreg/registry_tokens.h"
#include "services/certreg/roles.h"
#include "services/certreg/signing_keys.h"
#include "tests/unit/check.h"

#define SANDBOX "sbx_0190f1c2aaaa7bbb8cccdddddddddddd"
#define AUDIENCE "https://x/v1/token"

static struct arena *arena;
static struct err err;

static int parse(const char *text, struct form *form)
{
	return form_parse(arena, text, strlen(text), form, &err);
}

static void test_forms(void)
{
	static const char *const bad[] = { "a", "=b", "a=%", "a=%4", "a=%4g", "a=%00", "a=%0a",
		"a=%c3%a9", "a%00=b" };
	struct form form;

	CHECK(parse("a=1&b=x+y%2Fz&&c=", &form) == 0);
	CHECK_NUMBER(form.count, 3);
	CHECK_TEXT(form_text(&form, "b"), "x y/z");
	CHECK_TEXT(form_text(&form, "c"), "");
	CHECK(form_text(&form, "d") == NULL);
	CHECK(parse("", &form) == 0 && form.count == 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_FAILS(parse(bad[i], &form), &err, "form.syntax");
	CHECK_FAILS(parse("a=1&%61=2", &form), &err, "form.repeated");
}

static void test_roles(void)
{
	struct principal who = { .subject = "mbr_1", .roles = "admin" };

	CHECK(roles_have("owner admin", "admin"));
	CHECK(roles_have("admin", "admin"));
	CHECK(!roles_have("administrator", "admin"));
	CHECK(!roles_have("algorithm-owner", "owner"));
	CHECK(roles_have("algorithm-owner owner", "owner"));
	CHECK(!roles_have("", "owner"));

	CHECK(member_may_act_for(&who, "mbr_1", "auditor"));
	CHECK(member_may_act_for(&who, "mbr_2", "auditor"));
	CHECK(!member_may_act_for(&who, "mbr_2", "owner"));
	who.roles = "owner";
	CHECK(member_may_act_for(&who, "mbr_2", "owner"));
	who.roles = "algorithm-owner";
	CHECK(!member_may_act_for(&who, "mbr_2", "auditor"));
}

static void test_scopes(void)
{
	const char *scopes = NULL;

	CHECK(scopes_narrow(arena, "read write", "write read write", &scopes, &err) == 0);
	CHECK_TEXT(scopes, "write read");
	CHECK(scopes_narrow(arena, "read", "read write", &scopes, &err) == 0);
	CHECK_TEXT(scopes, "read");
	CHECK(scopes_narrow(arena, "", "read", &scopes, &err) == 0);
	CHECK_TEXT(scopes, "");
	CHECK_FAILS(scopes_narrow(arena, "read", "reader", &scopes, &err), &err, "scope.unknown");
}

static void test_key_texts(void)
{
	const char *good =
		"sr_0190f1c2aaaa7bbb8cccdddddddddddd_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_";
	char id[ID_SIZE] = "", bad[CREDENTIAL_TEXT_SIZE];

	CHECK(credential_id_of(good, id));
	CHECK_TEXT(id, "key_0190f1c2aaaa7bbb8cccdddddddddddd");
	CHECK(!credential_id_of("", id));
	CHECK(!credential_id_of(good + 1, id));
	for (size_t i = 0; i < strlen(good); i += 7) {
		snprintf(bad, sizeof(bad), "%s", good);
		bad[i] = '!';
		CHECK(!credential_id_of(bad, id));
	}
}

static const char *access_of(const struct registry_rights *rights, const char *scopes)
{
	auto_json json_t *access = json_array();
	const json_t *row, *action;
	const char *text = "";
	size_t i, k;

	if (registry_access_add(arena, rights, scopes, access, &err) < 0)
		return err.code;
	json_array_foreach (access, i, row) {
		text = arena_printf(arena, "%s%s", text, json_text(row, "name"));
		json_array_foreach (json_object_get(row, "actions"), k, action)
			text = arena_printf(
				arena, "%s%c%s", text, k ? ',' : ':', json_string_value(action));
		text = arena_printf(arena, "%s;", text);
	}
	return text;
}

static void test_registry_access(void)
{
	struct registry_rights owner = registry_rights_of("acme/", "owner", "read write");
	struct registry_rights auditor = registry_rights_of("acme/", "auditor", "read write");
	struct registry_rights reader = registry_rights_of("acme/", "owner", "read");
	struct registry_rights operator= registry_rights_of("acme/", "operator", "read write");
	struct registry_rights agent = { .repository = "acme/app", .pull = true };

	CHECK_TEXT(access_of(&owner, "repository:acme/a:pull,push"), "acme/a:pull,push;");
	CHECK_TEXT(access_of(&owner, "repository:acme/a:*"), "acme/a:pull,push,delete;");
	CHECK_TEXT(access_of(&owner, "repository:acme/a:pull  repository:acme/b:delete"),
		"acme/a:pull;acme/b:delete;");
	CHECK_TEXT(access_of(&owner, "repository:globex/a:pull"), "");
	CHECK_TEXT(access_of(&owner, "repository:acme:pull"), "");
	CHECK_TEXT(access_of(&owner, "repository:acme/../globex/a:pull"), "");
	CHECK_TEXT(access_of(&owner, "repository:acme//a:pull"), "");
	CHECK_TEXT(access_of(&owner, "repository:acme/A:pull"), "");
	CHECK_TEXT(access_of(&owner, "repository:acme/:pull"), "");
	CHECK_TEXT(access_of(&owner, "repository:acme/a:pullx,pu"), "");
	CHECK_TEXT(access_of(&owner, "registry:catalog:*"), "");
	CHECK_TEXT(access_of(&owner, "nonsense"), "registry.bad_scope");
	CHECK_TEXT(access_of(&owner, "repository:acme/a"), "registry.bad_scope");
	CHECK_TEXT(access_of(&auditor, "repository:acme/a:pull,push,delete"), "acme/a:pull;");
	CHECK_TEXT(access_of(&reader, "repository:acme/a:pull,push"), "acme/a:pull;");
	CHECK_TEXT(access_of(&operator, "repository:acme/a:pull"), "");
	CHECK_TEXT(access_of(&agent, "repository:acme/app:pull,push"), "acme/app:pull;");
	CHECK_TEXT(access_of(&agent, "repository:acme/app2:pull"), "");
}

/* Claims of an assertion with one member replaced, at most `life` seconds old. */
static int check_claims(const char *name, json_t *value)
{
	long long now = clock_unix_ms() / 1000;
	auto_json json_t *claims = json_pack("{s:s,s:s,s:s,s:I,s:I,s:s}", "iss", SANDBOX, "sub",
		SANDBOX, "aud", AUDIENCE, "iat", now, "exp", now + 60, "jti", "x");

	if (name && value)
		json_object_set_new(claims, name, value);
	else if (name)
		json_object_del(claims, name);
	return assertion_claims_check(claims, SANDBOX, AUDIENCE, &err);
}

static json_t *at(long long seconds)
{
	return json_integer(clock_unix_ms() / 1000 + seconds);
}

static void test_assertions(void)
{
	static const char *const members[] = { "iss", "sub", "iat", "exp", "jti" };

	CHECK(check_claims(NULL, NULL) == 0);
	CHECK(check_claims("nbf", at(0)) == 0);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		CHECK_FAILS(check_claims(members[i], NULL), &err, "auth.invalid_token");
		CHECK_FAILS(check_claims(members[i], json_true()), &err, "auth.invalid_token");
	}
	CHECK_FAILS(check_claims("aud", NULL), &err, "auth.wrong_audience");
	CHECK_FAILS(check_claims("aud", json_string("https://y/v1/token")), &err,
		"auth.wrong_audience");
	CHECK_FAILS(check_claims("exp", at(62)), &err, "auth.lives_too_long");
	CHECK_FAILS(check_claims("exp", at(-1)), &err, "auth.lives_too_long");
	CHECK_FAILS(check_claims("exp", at(-61)), &err, "auth.expired");
	CHECK_FAILS(check_claims("iat", at(65)), &err, "auth.clock_skew");
	CHECK_FAILS(check_claims("nbf", at(65)), &err, "auth.not_yet_valid");
	CHECK_FAILS(check_claims("jti", json_string("")), &err, "auth.invalid_token");
	CHECK_FAILS(check_claims("more", json_true()), &err, "auth.invalid_token");
}

static void test_signing_keys(void)
{
	const long long times[] = { 1000, 5000, 9000 };

	CHECK_NUMBER(signing_keys_choose(times, 3, 999), 0);
	CHECK_NUMBER(signing_keys_choose(times, 3, 4999), 0);
	CHECK_NUMBER(signing_keys_choose(times, 3, 5000), 1);
	CHECK_NUMBER(signing_keys_choose(times, 3, 9001), 2);
	CHECK(signing_keys_is_published(times, 3, 2, 1)); /* before it signs */
	CHECK(signing_keys_is_published(times, 3, 0, 5000 + TOKEN_SECONDS));
	CHECK(!signing_keys_is_published(times, 3, 0, 5000 + TOKEN_SECONDS + 60));
	CHECK(signing_keys_is_published(times, 3, 2, 1LL << 40));
}

static void test_subjects(void)
{
	static const char *const bad[] = { "sbx_../../x", "mbr_0190f1c2aaaa7bbb8cccdddddddddddd",
		"" };
	auto_json json_t *claims = json_pack("{s:s}", "sub", SANDBOX);

	CHECK_TEXT(agent_subject(arena, claims), SANDBOX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_object_set_new(claims, "sub", json_string(bad[i]));
		CHECK(agent_subject(arena, claims) == NULL);
	}
	json_object_del(claims, "sub");
	CHECK(agent_subject(arena, claims) == NULL);
}

static void test_message(void)
{
	struct certificate_proof proof = { .base_url = "https://x",
		.tenant_name = "acme",
		.spki = "sha256:1",
		.server_nonce = "2",
		.client_nonce = "3" };

	CHECK_TEXT(certificate_message(arena, &proof),
		"strongroom-cert-pop-v1\nhttps://x\nacme\nsha256:1\n2\n3\n");
}

static void test_pem(void)
{
	unsigned char bytes[60] = { 0 };

	CHECK_TEXT(certificate_pem(arena, bytes, 3),
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	CHECK_TEXT(certificate_pem(arena, bytes, 48),
		"-----BEGIN "
		"CERTIFICATE-----"
		"\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
		"-----END CERTIFICATE-----\n");
	CHECK_TEXT(certificate_pem(arena, bytes, 51),
		"-----BEGIN "
		"CERTIFICATE-----"
		"\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAA\n"
		"-----END CERTIFICATE-----\n");
}

static void test_names(void)
{
	CHECK(name_check("Zo\xc3\xab's key", &err) == 0);
	CHECK_FAILS(name_check("", &err), &err, "name.invalid");
	CHECK_FAILS(name_check("a\nb", &err), &err, "name.invalid");
	CHECK_FAILS(name_check("a\x7f", &err), &err, "name.invalid");
	CHECK_FAILS(name_check("a\xc2\x9b", &err), &err, "name.invalid");
}

int main(void)
{
	arena = arena_new();
	test_forms();
	test_roles();
	test_scopes();
	test_key_texts();
	test_registry_access();
	test_assertions();
	test_signing_keys();
	test_subjects();
	test_message();
	test_pem();
	test_names();
	arena_free(arena);
	CHECK_DONE();
}
