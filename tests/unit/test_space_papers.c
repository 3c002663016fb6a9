/* SPDX-License-Identifier: Apache-2.0 */
/* A member without papers is the founder only where our own signed invitation, or our being it,
 * says so. */
#include "client/peers.h"
#include "client/space_papers.h"
#include "tests/unit/trust_world.h"

static json_t *peers;
static const char *own_spki;

static json_t *founder(const char *name)
{
	return json_pack("{s:s,s:b,s:n}", "name", name, "founder", 1, "papers");
}

/* Anna's tenant invited Mallory's key, who joined as `name`. */
static json_t *joined(const char *name)
{
	char spki[DIGEST_TEXT_SIZE], inviter[DIGEST_TEXT_SIZE], digest[DIGEST_TEXT_SIZE];
	struct trust_invitation words = { .space = SPACE,
		.name = "study",
		.tenant = "acme",
		.issued_at = NOW,
		.expires_at = NOW + 3600 };
	json_t *invitation, *acceptance;

	CHECK(cert_spki(w.mallory, spki, &err) == 0);
	words.to = spki;
	CHECK(trust_invitation_make(w.anna, &words, &invitation, &err) == 0);
	CHECK(trust_invitation_check(w.arena, invitation, NOW, &words, inviter, digest, &err) == 0);
	CHECK(trust_acceptance_make(w.mallory, digest, name, NOW, &acceptance, &err) == 0);
	return json_pack("{s:s,s:b,s:{s:o,s:o}}", "name", name, "founder", 0, "papers",
		"invitation", invitation, "acceptance", acceptance);
}

static void verdict_is(json_t *members, size_t which, const char *own, const char *wanted)
{
	const json_t *first = space_papers_founder(members, SPACE, own);
	const struct space_reader reader = { peers, own, own_spki };
	auto_free char *verdict =
		space_papers_verdict(&reader, json_array_get(members, which), first, SPACE);

	CHECK_TEXT(verdict, wanted);
}

static void seen_by_the_invited(void)
{
	auto_json json_t *members = json_pack(
		"[o,o,o,o]", founder("evil"), founder("acme"), founder("acme"), joined("globex"));

	verdict_is(members, 0, "globex", "PAPERS DO NOT HOLD: client.wrong_founder");
	verdict_is(members, 1, "globex", "founder");
	verdict_is(members, 2, "globex", "PAPERS DO NOT HOLD: client.wrong_founder");
	verdict_is(members, 3, "globex", "ourselves, invited by anna");
}

static void seen_by_the_founder(void)
{
	auto_json json_t *members =
		json_pack("[o,o,o]", founder("evil"), founder("acme"), joined("globex"));

	verdict_is(members, 0, "acme", "PAPERS DO NOT HOLD: client.wrong_founder");
	verdict_is(members, 1, "acme", "founder: ourselves");
	verdict_is(members, 2, "acme", "a key that is not pinned, invited by anna");
}

/* "acme" in an invitation is a word that everybody can write: only our own key is ourselves. */
static void invited_in_our_name(void)
{
	auto_json json_t *members = json_pack("[o,o]", founder("acme"), joined("globex"));
	char mallory[DIGEST_TEXT_SIZE];

	CHECK(cert_spki(w.mallory, mallory, &err) == 0);
	own_spki = mallory;
	verdict_is(members, 1, "acme", "a key that is not pinned, invited by anna");
	own_spki = w.anna_spki;
	verdict_is(members, 1, "acme", "a key that is not pinned, invited by ourselves");
	own_spki = NULL;
}

/* Without papers of our own that hold nobody is the founder. */
static void seen_by_a_stranger(void)
{
	auto_json json_t *members = json_pack("[o,o]", founder("acme"), joined("globex"));

	json_object_set_new(json_array_get(members, 1), "name", json_string("initech"));
	verdict_is(members, 0, "initech", "PAPERS DO NOT HOLD: client.wrong_founder");
	verdict_is(members, 0, "nobody", "PAPERS DO NOT HOLD: client.wrong_founder");
}

int main(void)
{
	set_up();
	peers = json_array();
	CHECK(peers_add(peers, "anna", w.anna_spki, &err) == 0);
	seen_by_the_invited();
	seen_by_the_founder();
	seen_by_a_stranger();
	invited_in_our_name();
	json_decref(peers);
	tear_down();
	CHECK_DONE();
}
