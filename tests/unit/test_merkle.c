/* SPDX-License-Identifier: Apache-2.0 */
/* The reference tree of Certificate Transparency (RFC 6962's test data): roots and proofs as
 * published; then every proof of every small tree, right and with each part of it wrong. */
#include "lib/merkle.h"

#include <stdlib.h>

#include "lib/codec.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define SMALL 35u

static const char *const inputs[] = { "", "00", "10", "2021", "3031", "40414243",
	"5051525354555657", "606162636465666768696a6b6c6d6e6f" };
static const char *const roots[] = {
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

struct known_proof {
	unsigned long long from, to; /* of an inclusion: index and size */
	const char *hashes[4];
};
static const struct known_proof inclusions[] = {
	{ 0, 1, { NULL } },
	{ 0, 8,
		{ "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
			"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4" } },
	{ 5, 8,
		{ "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
			"ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
			"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" } },
	{ 2, 3, { "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125" } },
	{ 1, 5,
		{ "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
			"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b" } },
};
static const struct known_proof consistencies[] = {
	{ 1, 1, { NULL } },
	{ 1, 8,
		{ "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
			"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4" } },
	{ 2, 8,
		{ "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
			"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4" } },
	{ 6, 8,
		{ "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
			"ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
			"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" } },
};

/* A log as certreg keeps it: the hash of every complete subtree, the root of every size. */
struct log {
	struct merkle_tree tree;
	struct merkle_hash nodes[MERKLE_MAX_LEVELS][SMALL];
	struct merkle_hash roots[SMALL + 1];
};

static void grow(struct log *log, const void *data, size_t len)
{
	struct merkle_node made[MERKLE_MAX_LEVELS];
	struct merkle_hash leaf;
	size_t count;

	merkle_leaf(data, len, &leaf);
	count = merkle_append(&log->tree, &leaf, made);
	for (size_t i = 0; i < count; i++)
		log->nodes[made[i].level][made[i].index] = made[i].hash;
	merkle_root(&log->tree, &log->roots[log->tree.size]);
}

static struct merkle_hash hash_of(const struct log *log, struct merkle_range range)
{
	struct merkle_node nodes[MERKLE_MAX_LEVELS];
	size_t count = merkle_nodes(range, nodes);
	struct merkle_hash hash;

	for (size_t i = 0; i < count; i++)
		nodes[i].hash = log->nodes[nodes[i].level][nodes[i].index];
	merkle_fold(nodes, count, &hash);
	return hash;
}

static size_t prove(const struct log *log, bool inclusion, unsigned long long from,
	unsigned long long to, struct merkle_hash proof[MERKLE_MAX_PROOF])
{
	struct merkle_range ranges[MERKLE_MAX_PROOF];
	size_t count = inclusion ? merkle_inclusion(from, to, ranges)
				 : merkle_consistency(from, to, ranges);

	for (size_t i = 0; i < count; i++)
		proof[i] = hash_of(log, ranges[i]);
	return count;
}

static void check_hash(const struct merkle_hash *hash, const char *expected)
{
	char hex[CODEC_HEX_SIZE(DIGEST_SIZE)];

	codec_hex(hash->bytes, DIGEST_SIZE, hex);
	CHECK_TEXT(hex, expected ? expected : "");
}

static void check_known(const struct log *log, bool inclusion, const struct known_proof *known)
{
	struct merkle_hash proof[MERKLE_MAX_PROOF];
	size_t count = prove(log, inclusion, known->from, known->to, proof);

	for (size_t i = 0; i < count; i++)
		check_hash(&proof[i], known->hashes[i]);
	CHECK(!known->hashes[count]);
}

static void test_known_answers(void)
{
	struct log log = { .tree = { .size = 0 } };

	merkle_root(&log.tree, &log.roots[0]);
	for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
		unsigned char data[16];

		CHECK_NUMBER(codec_hex_decode(inputs[i], data, strlen(inputs[i]) / 2, NULL), 0);
		grow(&log, data, strlen(inputs[i]) / 2);
	}
	for (size_t i = 0; i < ARRAY_LEN(roots); i++)
		check_hash(&log.roots[i], roots[i]);
	for (size_t i = 0; i < ARRAY_LEN(inclusions); i++)
		check_known(&log, true, &inclusions[i]);
	for (size_t i = 0; i < ARRAY_LEN(consistencies); i++)
		check_known(&log, false, &consistencies[i]);
}

static struct log *small_log(void)
{
	struct log *log = mem_alloc(sizeof(*log));

	for (unsigned i = 0; i < SMALL; i++)
		grow(log, &i, sizeof(i));
	return log;
}

static void check_inclusion(const struct log *log, unsigned index, unsigned size)
{
	const struct merkle_hash *leaf = &log->nodes[0][index], *root = &log->roots[size];
	struct merkle_hash proof[MERKLE_MAX_PROOF] = { 0 };
	size_t count = prove(log, true, index, size, proof);

	CHECK(merkle_includes(index, size, leaf, proof, count, root));
	CHECK(!merkle_includes(
		index, size, &log->nodes[0][(index + 1) % SMALL], proof, count, root));
	CHECK(!merkle_includes(size, size, leaf, proof, count, root));
	CHECK(!merkle_includes(index, size, leaf, proof, count + 1, root));
	CHECK(count == 0 || !merkle_includes(index, size, leaf, proof, count - 1, root));
	CHECK(!merkle_includes(index, size, leaf, proof, count, &log->roots[size - 1]));
	for (size_t i = 0; i < count; i++) {
		proof[i].bytes[31] ^= 1;
		CHECK(!merkle_includes(index, size, leaf, proof, count, root));
		proof[i].bytes[31] ^= 1;
	}
}

static void check_consistency(const struct log *log, unsigned from, unsigned to)
{
	const struct merkle_hash *old = &log->roots[from], *new = &log->roots[to];
	struct merkle_hash proof[MERKLE_MAX_PROOF] = { 0 };
	size_t count = prove(log, false, from, to, proof);

	CHECK(merkle_extends(from, old, to, new, proof, count));
	CHECK(!merkle_extends(from, &log->roots[from - 1], to, new, proof, count));
	CHECK(!merkle_extends(from, old, to, &log->roots[to - 1], proof, count));
	CHECK(!merkle_extends(from, old, to, new, proof, count + 1));
	CHECK(count == 0 || !merkle_extends(from, old, to, new, proof, count - 1));
	CHECK(from == to || !merkle_extends(to, new, from, old, proof, count));
	for (size_t i = 0; i < count; i++) {
		proof[i].bytes[0] ^= 128;
		CHECK(!merkle_extends(from, old, to, new, proof, count));
		proof[i].bytes[0] ^= 128;
	}
}

static void test_every_proof(void)
{
	struct log *log = small_log();

	for (unsigned to = 1; to <= SMALL; to++) {
		for (unsigned from = 1; from <= to; from++) {
			check_inclusion(log, from - 1, to);
			check_consistency(log, from, to);
		}
	}
	CHECK(merkle_extends(0, &log->roots[0], 5, &log->roots[5], NULL, 0));
	free(log);
}

/* Two leaves' hashes shown as one leaf, or a node shown as a leaf, are something else. */
static void test_prefixes(void)
{
	struct log *log = small_log();
	unsigned char pair[2 * DIGEST_SIZE];
	struct merkle_hash hash;

	memcpy(pair, log->nodes[0][0].bytes, DIGEST_SIZE);
	memcpy(pair + DIGEST_SIZE, log->nodes[0][1].bytes, DIGEST_SIZE);
	merkle_leaf(pair, sizeof(pair), &hash);
	CHECK(memcmp(hash.bytes, log->roots[2].bytes, DIGEST_SIZE) != 0);
	free(log);
}

int main(void)
{
	test_known_answers();
	test_every_proof();
	test_prefixes();
	CHECK_DONE();
}
