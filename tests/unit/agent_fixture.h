/* SPDX-License-Identifier: Apache-2.0 */
/* A booted agent and the papers of one run, for the tests of what it demands before it opens
 * anything. */
#ifndef STRONGROOM_AGENT_FIXTURE_H
#define STRONGROOM_AGENT_FIXTURE_H

#include "agent/pull.h"
#include "agent/secrets.h"
#include "agent/verify.h"
#include "lib/oci.h"
#include "lib/ocicrypt.h"
#include "tests/unit/trust_world.h"

static struct machine machine;
static struct verify verify;
static struct trust_policy policy;
static struct trust_order order;

/* The papers of one run, as the orchestrator hands them out; a test spoils one of them. */
struct papers {
	json_t *constraints; /* texts, borrowed */
	json_t *doc;
	char *text;
	struct trust_policy policy;
	struct trust_order order;
	json_t *approvals, *envelope, *grants;
};

static inline json_t *make_initdata(int version)
{
	return json_pack("{s:s,s:{s:s,s:i},s:s,s:{s:s,s:i,s:s},s:[s]}", "v",
		"strongroom-initdata-1", "template", "id", "small", "version", version, "sandbox",
		SANDBOX, "edge", "host", "10.0.2.2", "port", 8443, "ca_spki", D1, "classes",
		"none");
}

static inline json_t *make_claim(const char *hash)
{
	char nonce[TRUST_NONCE_TEXT_SIZE];

	make_nonce(nonce);
	return json_pack("{s:s,s:s,s:s?,s:s}", "v", "strongroom-claim-1", "owner", w.anna_spki,
		"policy", hash, "nonce", nonce);
}

static inline void boot(const char *claimed_for)
{
	static json_t *initdata;
	auto_json json_t *claim = make_claim(claimed_for);

	machine_release(&machine);
	verify_release(&verify);
	json_decref(initdata);
	initdata = make_initdata(1);
	CHECK(machine_init(&machine, initdata, &err) == 0 &&
		machine_claim(&machine, claim, NULL, &err) == 0);
	verify_init(&verify, &machine, D0);
}

static inline void shut_down(void)
{
	json_t *initdata = (json_t *)(uintptr_t)machine.initdata;

	machine_release(&machine);
	verify_release(&verify);
	json_decref(initdata);
}

/* --- papers --- */

static inline void add_approval(struct papers *papers, EVP_PKEY *key, long long expires)
{
	json_t *envelope = NULL;

	CHECK(trust_approval_make(key, &papers->policy,
		      &(const struct trust_vote) { "author", "approve", NULL, NOW, expires, NULL },
		      &envelope, &err) == 0);
	json_array_append_new(papers->approvals, envelope);
}

static inline void make_order(struct papers *papers, EVP_PKEY *key)
{
	snprintf(papers->order.policy_hash, DIGEST_TEXT_SIZE, "%s", papers->policy.hash);
	make_nonce(papers->order.run_nonce);
	snprintf(papers->order.enc_thumbprint, JOSE_THUMBPRINT_SIZE, "%s", machine.enc_thumbprint);
	snprintf(papers->order.sig_thumbprint, JOSE_THUMBPRINT_SIZE, "%s", machine.sig_thumbprint);
	papers->order.issued_at = NOW;
	json_decref(papers->envelope);
	papers->envelope = NULL;
	CHECK(trust_order_make(key, &papers->order, &papers->envelope, &err) == 0);
}

static inline void add_grant(struct papers *papers, const char *slot, const json_t *opening)
{
	json_t *jwe = NULL;

	CHECK(trust_grant_make(machine.enc_public, papers->policy.hash, slot,
		      papers->order.run_nonce, opening, &jwe, &err) == 0);
	json_array_append_new(papers->grants, jwe);
}

/* Takes `doc`. */
static inline struct papers make_papers(json_t *doc)
{
	struct papers papers = { .doc = doc, .approvals = json_array(), .grants = json_array() };
	size_t len;

	CHECK(trust_policy_read(w.arena, doc, &papers.policy, &err) == 0);
	CHECK(jcs_encode(doc, &papers.text, &len, &err) == 0);
	add_approval(&papers, w.anna, NOW + 3600);
	make_order(&papers, w.anna);
	add_grant(&papers, "image", w.image_opening);
	add_grant(&papers, "input/conditions", w.input_opening);
	add_grant(&papers, "output", w.output_opening);
	return papers;
}

static inline void drop_papers(struct papers *papers)
{
	json_decref(papers->doc);
	json_decref(papers->approvals);
	json_decref(papers->envelope);
	json_decref(papers->grants);
	free(papers->text);
}

static inline int judge(const struct papers *papers, long long now)
{
	const struct work work = { .run = RUN,
		.policy = papers->text,
		.approvals = papers->approvals,
		.order = papers->envelope,
		.grants = papers->grants,
		.constraints = papers->constraints };

	return verify_work(&verify, w.arena, &work, now, &policy, &order, &err);
}

/* A refusal binds the boot to nothing: the same order may come again with good papers. */
static inline void expect(const struct papers *papers, const char *code)
{
	char bound[DIGEST_TEXT_SIZE];
	size_t spent = json_object_size(verify.nonces);

	snprintf(bound, sizeof(bound), "%s", verify.policy);
	CHECK_FAILS(judge(papers, NOW), &err, code);
	CHECK_TEXT(verify.policy, bound);
	CHECK_NUMBER(json_object_size(verify.nonces), spent);
}

#endif
