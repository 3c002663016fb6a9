/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DPoP proofs (RFC 9449): the request is by the holder of the key that the token names, and is not
 * repeated. Seen proofs are kept in two generations that change places once a proof's life is over,
 * so each is remembered for at least that long and none for ever.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/auth_inner.h"
#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/id.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/web.h"

#define LIFE_S 60LL
#define GENERATION_MS ((LIFE_S + 3 * AUTH_SKEW_S) * 1000)
#define BUCKETS 4096u
#define MAX_SEEN 100000u
#define MAX_JTI 256u

struct seen {
	struct seen *next;
	unsigned char mark[DIGEST_SIZE];
};

struct generation {
	struct seen *bucket[BUCKETS];
	size_t count;
};

struct auth_proofs {
	pthread_mutex_t lock;
	struct generation generations[2];
	int current;
	long long since_ms;
};

struct auth_proofs *auth_proofs_new(void)
{
	struct auth_proofs *proofs = mem_alloc(sizeof(*proofs));

	pthread_mutex_init(&proofs->lock, NULL);
	proofs->since_ms = clock_monotonic_ms();
	return proofs;
}

static void forget(struct generation *generation)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (generation->bucket[i]) {
			struct seen *seen = generation->bucket[i];

			generation->bucket[i] = seen->next;
			free(seen);
		}
	}
	generation->count = 0;
}

void auth_proofs_free(struct auth_proofs *proofs)
{
	if (!proofs)
		return;
	forget(&proofs->generations[0]);
	forget(&proofs->generations[1]);
	pthread_mutex_destroy(&proofs->lock);
	free(proofs);
}

static struct seen **bucket_of(struct generation *generation, const unsigned char *mark)
{
	return &generation->bucket[(mark[0] << 8 | mark[1]) % BUCKETS];
}

static bool has(struct generation *generation, const unsigned char *mark)
{
	for (const struct seen *seen = *bucket_of(generation, mark); seen; seen = seen->next) {
		if (memcmp(seen->mark, mark, DIGEST_SIZE) == 0)
			return true;
	}
	return false;
}

static void turn(struct auth_proofs *proofs)
{
	long long now = clock_monotonic_ms();

	if (now - proofs->since_ms < GENERATION_MS)
		return;
	proofs->current = !proofs->current;
	forget(&proofs->generations[proofs->current]);
	proofs->since_ms = now;
}

static int remember_locked(
	struct auth_proofs *proofs, const unsigned char mark[DIGEST_SIZE], struct err *err)
{
	struct generation *current;
	struct seen *seen, **bucket;

	turn(proofs);
	current = &proofs->generations[proofs->current];
	if (has(&proofs->generations[0], mark) || has(&proofs->generations[1], mark))
		return err_set(
			err, ERR_UNAUTHENTICATED, "auth.replayed", "this proof was used before");
	if (current->count >= MAX_SEEN)
		return err_set(err, ERR_LIMITED, "auth.too_many_proofs",
			"more than %u proofs in a minute", MAX_SEEN);
	seen = mem_alloc(sizeof(*seen));
	memcpy(seen->mark, mark, DIGEST_SIZE);
	bucket = bucket_of(current, mark);
	seen->next = *bucket;
	*bucket = seen;
	current->count++;
	return 0;
}

/* A jti belongs to its key: two agents may choose the same. */
static int remember(struct auth_proofs *proofs, const char *jkt, const char *jti, struct err *err)
{
	auto_free char *text = mem_printf("%s %s", jkt, jti);
	unsigned char mark[DIGEST_SIZE];
	int result;

	digest_sha256(text, strlen(text), mark);
	pthread_mutex_lock(&proofs->lock);
	result = remember_locked(proofs, mark, err);
	pthread_mutex_unlock(&proofs->lock);
	return result;
}

static int invalid(struct err *err, const char *what)
{
	return err_set(err, ERR_UNAUTHENTICATED, "auth.proof_invalid", "%s", what);
}

static size_t origin_len(const char *url)
{
	const char *host = strstr(url, "://");

	return host ? strcspn(host + 3, "/?#") + (size_t)(host + 3 - url) : 0;
}

/* The edge's own, or under one of the names by which guests reach it. What the request itself says
 * of the server (Host) counts for nothing: a proof made for another server would pass. */
static bool is_our_origin(const struct auth_edge *edge, const char *htu)
{
	size_t len = origin_len(htu);
	const char *name = edge->names;

	if (len == 0)
		return false;
	if (len == origin_len(edge->base_url) && strncasecmp(htu, edge->base_url, len) == 0)
		return true;
	if (strncasecmp(htu, "https://", 8) != 0)
		return false;
	for (name += strspn(name, " "); *name; name += strspn(name, " ")) {
		size_t name_len = strcspn(name, " ");

		if (name_len == len - 8 && strncasecmp(htu + 8, name, name_len) == 0)
			return true;
		name += name_len;
	}
	return false;
}

static bool path_equals(const char *encoded, size_t len, const char *path)
{
	for (size_t i = 0; i < len; i++, path++) {
		unsigned char c = (unsigned char)encoded[i];
		char digits[3] = "";

		if (c == '%') {
			if (len - i < 3)
				return false;
			digits[0] = encoded[i + 1] | (encoded[i + 1] > '9' ? 0x20 : 0);
			digits[1] = encoded[i + 2] | (encoded[i + 2] > '9' ? 0x20 : 0);
			if (codec_hex_decode(digits, &c, 1, NULL) < 0)
				return false;
			i += 2;
		}
		if (c == '\0' || c != (unsigned char)*path)
			return false;
	}
	return *path == '\0';
}

static int check_target(const struct web_req *req, const struct auth_edge *edge,
	const json_t *claims, struct err *err)
{
	const char *htm = json_text(claims, "htm"), *htu = json_text(claims, "htu"), *path;

	if (!htm || strcmp(htm, req->method) != 0)
		return invalid(err, "the proof is for another method");
	if (!htu || !is_our_origin(edge, htu))
		return invalid(err, "the proof is for another server");
	path = htu + origin_len(htu);
	if (!path_equals(path, strcspn(path, "?#"), req->path))
		return invalid(err, "the proof is for another path");
	return 0;
}

static int check_token_hash(const char *token, const json_t *claims, struct err *err)
{
	const char *ath = json_text(claims, "ath");
	unsigned char digest[DIGEST_SIZE];
	auto_free char *expected = NULL;

	digest_sha256(token, strlen(token), digest);
	expected = codec_b64url_text(digest, sizeof(digest));
	if (!ath || strcmp(ath, expected) != 0)
		return invalid(err, "the proof is for another token");
	return 0;
}

static int check_time(const json_t *claims, struct err *err)
{
	const json_t *iat = json_object_get(claims, "iat");
	long long now = clock_unix_ms() / 1000, at = json_integer_value(iat);

	if (!json_is_integer(iat) || at < now - LIFE_S - AUTH_SKEW_S || at > now + AUTH_SKEW_S)
		return invalid(err, "the proof was not made just now");
	return 0;
}

static int verify(const char *proof, const char *jkt, json_t **ret_claims, struct err *err)
{
	char thumbprint[JOSE_THUMBPRINT_SIZE];
	auto_json json_t *header = NULL;
	auto_key EVP_PKEY *key = NULL;
	const json_t *jwk;

	if (jose_token_peek(proof, &header, NULL) < 0)
		return invalid(err, "the proof is no token");
	jwk = json_object_get(header, "jwk");
	if (!json_is_object(jwk) || json_object_get(jwk, "d") ||
		jose_key_to_evp(jwk, &key, NULL) < 0 ||
		jose_key_thumbprint(jwk, thumbprint, NULL) < 0)
		return invalid(err, "the proof has no usable public key");
	if (strcmp(thumbprint, jkt) != 0)
		return invalid(err, "the proof is by another key than the token names");
	if (jose_token_verify(key, "dpop+jwt", true, proof, ret_claims, NULL) < 0)
		return invalid(err, "the proof's signature or type is wrong");
	return 0;
}

int auth_proof_check(struct auth_proofs *proofs, const struct web_req *req,
	const struct auth_edge *edge, const char *token, const json_t *bound, struct err *err)
{
	const char *proof = web_header(req, "DPoP"), *jti;
	const char *jkt = json_text(json_object_get(bound, "cnf"), "jkt");
	auto_json json_t *claims = NULL;

	if (!jkt)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.invalid_token",
			"the token is bound to no key");
	if (!proof)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.proof_missing",
			"the token needs a DPoP proof");
	if (verify(proof, jkt, &claims, err) < 0 || check_time(claims, err) < 0 ||
		check_target(req, edge, claims, err) < 0 ||
		check_token_hash(token, claims, err) < 0)
		return -1;
	jti = json_text(claims, "jti");
	if (!jti || !*jti || strlen(jti) > MAX_JTI)
		return invalid(err, "the proof has no usable jti");
	return remember(proofs, jkt, jti, err);
}
