/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the two papers of a member again, with our own eyes and our own pins. */
#include "client/space_papers.h"

#include <stdlib.h>
#include <string.h>

#include "client/peers.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"

/* The moment at which the invitation was signed: papers are read as of then. The signature over it
 * is checked afterwards. */
static long long signed_at(const json_t *invitation)
{
	const char *payload = json_text(json_object_get(invitation, "jws"), "payload");
	auto_free unsigned char *bytes = NULL;
	auto_json json_t *words = NULL;
	struct err ignored = { 0 };
	size_t len = 0;

	if (!payload || codec_b64url_decode(payload, strlen(payload), &bytes, &len, &ignored) < 0)
		return 0;
	words = json_parse((const char *)bytes, len, &ignored);
	return json_integer_value(json_object_get(words, "iat"));
}

static int check(struct arena *arena, const json_t *member, const char *space,
	struct trust_invitation *ret_words, char ret_inviter[DIGEST_TEXT_SIZE], struct err *err)
{
	const json_t *papers = json_object_get(member, "papers");
	const json_t *invitation = json_object_get(papers, "invitation");
	char digest[DIGEST_TEXT_SIZE];

	if (json_is_true(json_object_get(member, "founder")))
		return err_set(err, ERR_FORBIDDEN, "client.wrong_founder",
			"our own papers do not name that founder");
	if (trust_invitation_check(arena, invitation, signed_at(invitation), ret_words, ret_inviter,
		    digest, err) < 0 ||
		trust_acceptance_check(json_object_get(papers, "acceptance"), ret_words, digest,
			json_text(member, "name"), err) < 0)
		return -1;
	if (strcmp(ret_words->space, space) != 0)
		return err_set(err, ERR_FORBIDDEN, "client.wrong_space",
			"the papers are for another space");
	return 0;
}

static const char *name_of(const json_t *peers, const char *spki)
{
	const json_t *peer = peers_of_key(peers, spki);

	return peer ? json_text(peer, "name") : "a key that is not pinned";
}

static bool is_called(const json_t *member, const char *name)
{
	const char *own = json_text(member, "name");

	return own && strcmp(own, name) == 0;
}

static const json_t *member_of_name(const json_t *members, const char *name, bool is_founder)
{
	const json_t *member;
	size_t i;

	json_array_foreach (members, i, member)
		if (json_is_true(json_object_get(member, "founder")) == is_founder &&
			is_called(member, name))
			return member;
	return NULL;
}

const json_t *space_papers_founder(const json_t *members, const char *space, const char *own)
{
	auto_arena struct arena *arena = arena_new();
	const json_t *ourselves = member_of_name(members, own, true);
	struct trust_invitation words;
	char inviter[DIGEST_TEXT_SIZE];
	struct err ignored = { 0 };

	if (ourselves)
		return ourselves;
	ourselves = member_of_name(members, own, false);
	if (!ourselves || check(arena, ourselves, space, &words, inviter, &ignored) < 0)
		return NULL;
	return member_of_name(members, words.tenant, true);
}

char *space_papers_verdict(const struct space_reader *reader, const json_t *member,
	const json_t *founder, const char *space)
{
	auto_arena struct arena *arena = arena_new();
	struct trust_invitation words;
	char inviter[DIGEST_TEXT_SIZE];
	struct err err = { 0 };
	bool is_own = is_called(member, reader->tenant);
	const char *by;

	if (member == founder)
		return mem_printf("founder%s", is_own ? ": ourselves" : "");
	if (check(arena, member, space, &words, inviter, &err) < 0)
		return mem_printf("PAPERS DO NOT HOLD: %s", err.code);
	by = reader->spki && strcmp(reader->spki, inviter) == 0 ? "ourselves"
								: name_of(reader->peers, inviter);
	return mem_printf(
		"%s, invited by %s", is_own ? "ourselves" : name_of(reader->peers, words.to), by);
}
