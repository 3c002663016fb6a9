/* SPDX-License-Identifier: Apache-2.0 */
/* Making challenges. */
#include "services/certreg/challenges.h"

#include "lib/auth.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/service.h"
#include "services/certreg/store_certificates.h"

#define CHALLENGE_SECONDS 300
#define NONCE_BYTES 32

struct challenge_input {
	const char *spki;
};

static const struct json_field challenge_fields[] = {
	{ "spki", JSON_FIELD_DIGEST, offsetof(struct challenge_input, spki), true, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int answer(struct web_req *req, struct web_res *res, const char *id, struct err *err)
{
	const struct principal *who = req->principal;
	struct challenge challenge;

	if (store_challenge(req->worker->db, who->tenant, who->subject, id, req->arena, &challenge,
		    err) < 0)
		return -1;
	res->status = 201;
	res->json = json_pack("{s:s,s:s,s:s,s:s}", "id", challenge.id, "spki", challenge.spki,
		"nonce", challenge.nonce, "expires_at", challenge.expires_at);
	return 0;
}

int challenge_create(struct web_req *req, struct web_res *res, struct err *err)
{
	unsigned char nonce[NONCE_BYTES];
	char id[ID_SIZE], nonce_text[CODEC_HEX_SIZE(NONCE_BYTES)];
	struct challenge_input input;
	struct challenge challenge;
	const char *made;

	if (resource_replayed(req, res, CHALLENGES_ROUTE, &made, err) < 0)
		return -1;
	if (made)
		return answer(req, res, made, err);
	if (json_decode(req->arena, req->json, challenge_fields, &input, err) < 0)
		return -1;
	id_new("chl", id);
	rand_bytes(nonce, sizeof(nonce));
	codec_hex(nonce, sizeof(nonce), nonce_text);
	challenge = (struct challenge) {
		.id = id, .member = req->principal->subject, .spki = input.spki, .nonce = nonce_text
	};
	if (store_challenge_add(req->worker->db, req, &challenge, CHALLENGE_SECONDS, err) < 0)
		return -1;
	return answer(req, res, id, err);
}
