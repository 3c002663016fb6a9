/* SPDX-License-Identifier: Apache-2.0 */
/* The issuer's keys and revocations as certreg tells them. Revocations are sorted: each request
 * looks up three. */
#include <stdlib.h>
#include <string.h>

#include "lib/auth_inner.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"

struct issuer_key {
	const char *kid;
	EVP_PKEY *key;
};

struct revocation {
	const char *subject;
	long long before;
};

struct auth_state {
	json_t *doc; /* owns the texts below */
	long long epoch;
	struct issuer_key *keys;
	size_t n_keys;
	struct revocation *revoked;
	size_t n_revoked;
};

static int invalid(struct err *err, const char *what)
{
	return err_set(err, ERR_UPSTREAM, "auth.state_invalid", "auth-state: %s", what);
}

static int read_keys(struct auth_state *state, struct err *err)
{
	const json_t *list = json_object_get(json_object_get(state->doc, "jwks"), "keys");
	json_t *jwk;
	size_t i;

	if (json_array_size(list) == 0)
		return invalid(err, "no keys");
	state->keys = mem_array(json_array_size(list), sizeof(*state->keys));
	json_array_foreach (list, i, jwk) {
		struct issuer_key *key = &state->keys[i];

		key->kid = json_text(jwk, "kid");
		if (!key->kid || json_object_get(jwk, "d"))
			return invalid(err, "a key without kid, or a private one");
		if (jose_key_to_evp(jwk, &key->key, err) < 0)
			return err_wrap(err, "auth-state");
		state->n_keys++;
	}
	return 0;
}

static int by_subject(const void *left, const void *right)
{
	const struct revocation *a = left, *b = right;

	return strcmp(a->subject, b->subject);
}

/* The same subject may have been revoked more than once: the latest counts for all its rows. */
static void keep_latest(struct revocation *revoked, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (by_subject(&revoked[i - 1], &revoked[i]) == 0 &&
			revoked[i].before < revoked[i - 1].before)
			revoked[i].before = revoked[i - 1].before;
	}
	for (size_t i = count; i-- > 1;) {
		if (by_subject(&revoked[i - 1], &revoked[i]) == 0)
			revoked[i - 1].before = revoked[i].before;
	}
}

static int read_revoked(struct auth_state *state, struct err *err)
{
	const json_t *list = json_object_get(state->doc, "revoked");
	json_t *row;
	size_t i;

	if (!json_is_array(list))
		return invalid(err, "no list of revocations");
	state->n_revoked = json_array_size(list);
	state->revoked = mem_array(state->n_revoked, sizeof(*state->revoked));
	json_array_foreach (list, i, row) {
		const json_t *before = json_object_get(row, "before");

		state->revoked[i] = (struct revocation) { json_text(row, "subject"),
			json_integer_value(before) };
		if (!state->revoked[i].subject || !json_is_integer(before))
			return invalid(err, "a revocation without subject or time");
	}
	qsort(state->revoked, state->n_revoked, sizeof(*state->revoked), by_subject);
	keep_latest(state->revoked, state->n_revoked);
	return 0;
}

int auth_state_read(const json_t *doc, struct auth_state **ret_state, struct err *err)
{
	struct auth_state *state;

	if (!json_is_integer(json_object_get(doc, "epoch")))
		return invalid(err, "no epoch");
	state = mem_alloc(sizeof(*state));
	state->doc = json_incref((json_t *)doc);
	state->epoch = json_integer_value(json_object_get(doc, "epoch"));
	if (read_keys(state, err) < 0 || read_revoked(state, err) < 0) {
		auth_state_free(state);
		return -1;
	}
	*ret_state = state;
	return 0;
}

void auth_state_free(struct auth_state *state)
{
	if (!state)
		return;
	for (size_t i = 0; i < state->n_keys; i++)
		EVP_PKEY_free(state->keys[i].key);
	free(state->keys);
	free(state->revoked);
	json_decref(state->doc);
	free(state);
}

long long auth_state_epoch(const struct auth_state *state)
{
	return state->epoch;
}

EVP_PKEY *auth_state_key(const struct auth_state *state, const char *kid)
{
	for (size_t i = 0; i < state->n_keys; i++) {
		if (strcmp(state->keys[i].kid, kid) == 0)
			return state->keys[i].key;
	}
	return NULL;
}

bool auth_state_has_same_keys(const struct auth_state *state, const struct auth_state *other)
{
	return json_equal(json_object_get(state->doc, "jwks"), json_object_get(other->doc, "jwks"));
}

bool auth_state_is_revoked(const struct auth_state *state, const char *subject, long long iat)
{
	struct revocation wanted = { subject, 0 };
	const struct revocation *found;

	if (!subject || state->n_revoked == 0)
		return false;
	found = bsearch(
		&wanted, state->revoked, state->n_revoked, sizeof(*state->revoked), by_subject);
	return found && iat < found->before;
}
