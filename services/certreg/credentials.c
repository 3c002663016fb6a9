/* SPDX-License-Identifier: Apache-2.0 */
/* Checking API keys: see the header for the one rule. */
#include "services/certreg/credentials.h"

#include <string.h>
#include <strings.h>

#include "lib/auth.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/form.h"
#include "services/certreg/roles.h"

#define ID_DIGITS 32
#define SECRET_CHARS 43
#define SECRET_MAX 512
#define BASIC_MAX 1024

int credential_refuse(struct err *err)
{
	return err_set(err, ERR_UNAUTHENTICATED, "auth.invalid_client",
		"unknown credentials, or wrong ones");
}

bool credential_id_of(const char *text, char ret_id[ID_SIZE])
{
	char id[ID_SIZE];

	if (strlen(text) != CREDENTIAL_TEXT_SIZE - 1 || strncmp(text, "sr_", 3) != 0 ||
		text[3 + ID_DIGITS] != '_')
		return false;
	if (strspn(text + 4 + ID_DIGITS,
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") !=
		SECRET_CHARS)
		return false;
	snprintf(id, sizeof(id), "key_%.*s", ID_DIGITS, text + 3);
	if (!id_is(id, "key"))
		return false;
	memcpy(ret_id, id, sizeof(id));
	return true;
}

void credential_mac(
	const struct certreg *certreg, const char *hash, char ret_mac[CREDENTIAL_MAC_SIZE])
{
	unsigned char mac[DIGEST_SIZE];

	digest_hmac_sha256(certreg->secrets->pepper_digest, sizeof(certreg->secrets->pepper_digest),
		hash, strlen(hash), mac);
	codec_hex(mac, sizeof(mac), ret_mac);
}

bool credential_same_mac(const char *stored, const char mac[CREDENTIAL_MAC_SIZE])
{
	static const char nobodys[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	const char *other = stored ? stored : nobodys;

	return strlen(other) == CREDENTIAL_MAC_SIZE - 1 &&
	       digest_equal(other, mac, CREDENTIAL_MAC_SIZE - 1);
}

/* To the minute, and never a reason to refuse. */
static void note_use(struct web_req *req, const struct credential *credential)
{
	struct err failure = { .kind = ERR_NONE };

	if (credential->use_is_news &&
		store_key_used(req->worker->db, credential->tenant, credential->key, &failure) < 0)
		log_failure("last use not noted", &failure);
}

int credential_check(struct web_req *req, const char *key_id, const char *secret,
	struct credential *ret_credential, struct err *err)
{
	char hash[DIGEST_TEXT_SIZE], mac[CREDENTIAL_MAC_SIZE];
	struct credential credential = { .mac = NULL };
	bool found, same;

	if (auth_limit_attempt(req->worker->auth, req, key_id, err) < 0)
		return -1;
	if (!id_is(key_id, "key") || strlen(secret) > SECRET_MAX)
		return credential_refuse(err);
	if (store_credential(req->worker->db, key_id, req->arena, &credential, &found, err) < 0)
		return -1;
	digest_text(secret, strlen(secret), hash);
	credential_mac(certreg_of(req->worker), hash, mac);
	same = credential_same_mac(found ? credential.mac : NULL, mac);
	if (!same || !found)
		return credential_refuse(err);
	note_use(req, &credential);
	*ret_credential = credential;
	return 0;
}

/* --- claims --- */

/* A certificate that is not registered to the member binds nothing: the edge lets everybody show
 * any. */
static int bind(
	struct web_req *req, const struct credential *credential, json_t *claims, struct err *err)
{
	unsigned char digest[DIGEST_SIZE];
	char fingerprint[CODEC_HEX_SIZE(DIGEST_SIZE)];
	auto_free char *x5t = NULL;
	const char *certificate;
	bool shown;

	if (auth_client_certificate(req, digest, &shown, err) < 0)
		return -1;
	if (!shown)
		return 0;
	codec_hex(digest, sizeof(digest), fingerprint);
	if (store_certificate_shown(
		    req->worker->db, credential, fingerprint, req->arena, &certificate, err) < 0)
		return -1;
	if (!certificate)
		return 0;
	x5t = codec_b64url_text(digest, sizeof(digest));
	json_object_set_new(
		claims, "cnf", json_pack("{s:s,s:s}", "x5t#S256", x5t, "crt", certificate));
	return 0;
}

/* Its tenant's own space first, then those that the tenant joined. */
static json_t *spaces_of(const struct credential *credential)
{
	json_t *list = credential->spaces ? roles_json(credential->spaces) : json_array();

	json_array_insert_new(list, 0, json_string(credential->space));
	return list;
}

int credential_claims(struct web_req *req, const struct credential *credential, json_t **ret_claims,
	struct err *err)
{
	bool by_key = credential->key != NULL;
	auto_json json_t *claims =
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:I}", "sub", credential->member,
			by_key ? "key" : "crt", by_key ? credential->key : credential->certificate,
			"tenant", credential->tenant, "tenant_name", credential->tenant_name,
			"space", credential->space, "spaces", spaces_of(credential), "roles",
			credential->roles, "iat", (json_int_t)credential->asked_at);

	if (credential->expires_at)
		json_object_set_new(
			claims, "credential_exp", json_integer((json_int_t)credential->expires_at));
	if (bind(req, credential, claims, err) < 0)
		return -1;
	*ret_claims = take_ptr(claims);
	return 0;
}

/* --- Authorization: Basic --- */

/* Splits "user:password" where it stands. */
static int split(char *text, const char **ret_user, const char **ret_password, struct err *err)
{
	char *colon = strchr(text, ':');

	if (!colon || !form_is_plain(text, strlen(text)))
		return credential_refuse(err);
	*colon = '\0';
	*ret_user = text;
	*ret_password = colon + 1;
	return 0;
}

int credential_basic(
	struct web_req *req, const char **ret_user, const char **ret_password, struct err *err)
{
	const char *header = web_header(req, "Authorization");
	unsigned char *pair = NULL;
	char *kept;
	size_t len;

	if (!header || strncasecmp(header, "Basic ", 6) != 0)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.missing",
			"this needs an API key (Authorization: Basic)");
	header += 6 + strspn(header + 6, " ");
	if (strlen(header) > BASIC_MAX ||
		codec_b64_decode(header, strlen(header), &pair, &len, NULL) < 0)
		return credential_refuse(err);
	kept = form_secret(req->arena, len);
	memcpy(kept, pair, len);
	mem_wipe_free(pair, len);
	if (strlen(kept) != len)
		return credential_refuse(err);
	return split(kept, ret_user, ret_password, err);
}
