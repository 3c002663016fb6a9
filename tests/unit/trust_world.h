/* SPDX-License-Identifier: Apache-2.0 */
/* One good run with real keys, shared by the tests that attack it: two people, a machine, a policy,
 * an order. */
#ifndef STRONGROOM_TRUST_WORLD_H
#define STRONGROOM_TRUST_WORLD_H

#include <openssl/ec.h>
#include <stdlib.h>

#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"
#include "tests/unit/check.h"

#define NOW 1790000000LL
#define D0 "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define SPACE "spc_0190f1c2000070008000000000000001"
#define SANDBOX "sbx_0190f1c2000070008000000000000002"
#define DATASET "dst_0190f1c2000070008000000000000003"
#define OBJECT "obj_0190f1c2000070008000000000000004"
#define RUN "run_0190f1c2000070008000000000000005"

struct world {
	struct arena *arena;
	EVP_PKEY *anna, *mallory;
	char anna_spki[DIGEST_TEXT_SIZE];
	json_t *enc, *sig, *enc_public, *sig_public;
	json_t *image_opening, *input_opening, *output_opening, *doc;
	struct trust_policy policy;
	struct trust_order order;
	json_t *order_envelope;
};

static struct world w;
static struct err err;

static inline void make_nonce(char ret_nonce[TRUST_NONCE_TEXT_SIZE])
{
	unsigned char bytes[TRUST_NONCE_SIZE];
	auto_free char *text = NULL;

	rand_bytes(bytes, sizeof(bytes));
	text = codec_b64url_text(bytes, sizeof(bytes));
	snprintf(ret_nonce, TRUST_NONCE_TEXT_SIZE, "%s", text);
}

static inline json_t *make_key_secret(void)
{
	char key[TRUST_NONCE_TEXT_SIZE];

	make_nonce(key);
	return json_pack("{s:s}", "key", key);
}

static inline json_t *make_slot(const char *commitment)
{
	return json_pack(
		"{s:s,s:s,s:s}", "commitment", commitment, "mode", "once", "owner", w.anna_spki);
}

static inline json_t *make_doc(const char *image, const char *input, const char *output)
{
	static const char text[] =
		"{\"v\":\"strongroom-policy-1\",\"name\":\"conditions-describe\",\"space\":\"" SPACE
		"\","
		"\"template\":{\"id\":\"small\",\"version\":1},"
		"\"approval\":{\"rules\":[{\"scope\":\"author\",\"of\":\"authors\",\"k\":1,"
		"\"veto\":false,\"max_age_s\":0,\"objects\":[]}],\"expires\":0},"
		"\"image\":{\"repository\":\"acme/describe\",\"manifest\":\"" D0
		"\",\"config\":\"" D1 "\","
		"\"layers\":[{\"inner\":\"" D0 "\",\"diff_id\":\"" D1 "\"}]},"
		"\"process\":{\"argv\":[\"/bin/describe\"],\"env\":{\"LANG\":\"C\"},\"cwd\":\"/\"},"
		"\"inputs\":[{\"slot\":\"input/conditions\",\"dataset\":\"" DATASET
		"\",\"version\":1,"
		"\"object\":\"" OBJECT "\",\"file\":\"conditions.csv\",\"digest\":\"" D0
		"\",\"size\":123}],"
		"\"output\":{\"slot\":\"output\",\"name\":\"output\"},\"config_files\":[],"
		"\"ports\":{},"
		"\"measurements\":{\"encrypt-output\":\"" D0 "\",\"decrypt-input\":\"" D0
		"\",\"decrypt-output\":\"" D0 "\"},"
		"\"evidence\":{\"minimum\":\"none\"},\"egress\":{\"mode\":\"none\",\"domains\":[]},"
		"\"limits\":{\"memory_bytes\":134217728,\"pids\":64,\"wall_seconds\":120,\"cpu_"
		"seconds\":120,"
		"\"output_bytes\":67108864,\"output_files\":1000},\"max_runs\":100,\"deadline\":"
		"1795000000}";
	json_t *doc = json_parse(text, strlen(text), &err);

	json_object_set_new(doc, "parties",
		json_pack("{s:[s],s:[],s:[s],s:[s]}", "authors", w.anna_spki, "approvers",
			"runners", w.anna_spki, "recipients", w.anna_spki));
	json_object_set_new(doc, "slots",
		json_pack("{s:o,s:o,s:o}", "image", make_slot(image), "input/conditions",
			make_slot(input), "output", make_slot(output)));
	return doc;
}

static inline void set_up(void)
{
	auto_json json_t *image_key = jose_key_new("enc"),
			 *image = json_pack("{s:O}", "jwk", image_key);
	auto_json json_t *input = make_key_secret(), *output = make_key_secret();
	char a[DIGEST_TEXT_SIZE], b[DIGEST_TEXT_SIZE], c[DIGEST_TEXT_SIZE];

	w.arena = arena_new();
	w.anna = EVP_EC_gen("P-256");
	w.mallory = EVP_EC_gen("P-384");
	CHECK(cert_spki(w.anna, w.anna_spki, &err) == 0);
	w.enc = jose_key_new("enc");
	w.sig = jose_key_new("sig");
	w.enc_public = jose_key_public(w.enc);
	w.sig_public = jose_key_public(w.sig);
	CHECK(trust_commit("image", image, &w.image_opening, a, &err) == 0);
	CHECK(trust_commit("input/conditions", input, &w.input_opening, b, &err) == 0);
	CHECK(trust_commit("output", output, &w.output_opening, c, &err) == 0);
	w.doc = make_doc(a, b, c);
	CHECK(trust_policy_read(w.arena, w.doc, &w.policy, &err) == 0);

	snprintf(w.order.policy_hash, sizeof(w.order.policy_hash), "%s", w.policy.hash);
	make_nonce(w.order.run_nonce);
	CHECK(jose_key_thumbprint(w.enc, w.order.enc_thumbprint, &err) == 0);
	CHECK(jose_key_thumbprint(w.sig, w.order.sig_thumbprint, &err) == 0);
	w.order.issued_at = NOW;
	CHECK(trust_order_make(w.anna, &w.order, &w.order_envelope, &err) == 0);
}

static inline void tear_down(void)
{
	json_t *all[] = { w.enc, w.sig, w.enc_public, w.sig_public, w.image_opening,
		w.input_opening, w.output_opening, w.doc, w.order_envelope };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		json_decref(all[i]);
	EVP_PKEY_free(w.anna);
	EVP_PKEY_free(w.mallory);
	arena_free(w.arena);
}

#endif
