/* SPDX-License-Identifier: Apache-2.0 */
/* Trees and proofs of merkle.h, by the recursive definitions of RFC 6962 section 2.1 and the
 * verification algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2. */
#include "lib/merkle.h"

#include <assert.h>
#include <string.h>

static const unsigned char leaf_prefix[1] = { 0 }, inner_prefix[1] = { 1 };

void merkle_leaf(const void *data, size_t len, struct merkle_hash *ret_hash)
{
	struct digest_stream *stream = digest_stream_new();

	digest_stream_add(stream, leaf_prefix, 1);
	digest_stream_add(stream, data, len);
	digest_stream_finish(stream, ret_hash->bytes);
	digest_stream_free(stream);
}

static void join(const struct merkle_hash *left, const struct merkle_hash *right,
	struct merkle_hash *ret_hash)
{
	unsigned char text[1 + 2 * DIGEST_SIZE];

	text[0] = inner_prefix[0];
	memcpy(text + 1, left->bytes, DIGEST_SIZE);
	memcpy(text + 1 + DIGEST_SIZE, right->bytes, DIGEST_SIZE);
	digest_sha256(text, sizeof(text), ret_hash->bytes);
}

/* --- growing --- */

size_t merkle_append(struct merkle_tree *tree, const struct merkle_hash *leaf,
	struct merkle_node ret_nodes[MERKLE_MAX_LEVELS])
{
	struct merkle_hash hash = *leaf;
	unsigned level = 0;
	size_t count = 0;

	ret_nodes[count++] = (struct merkle_node) { 0, tree->size, hash };
	for (; tree->size >> level & 1; level++) {
		join(&tree->peaks[level], &hash, &hash);
		ret_nodes[count++] =
			(struct merkle_node) { level + 1, tree->size >> (level + 1), hash };
	}
	tree->peaks[level] = hash;
	tree->size++;
	return count;
}

void merkle_root(const struct merkle_tree *tree, struct merkle_hash *ret_root)
{
	struct merkle_node nodes[MERKLE_MAX_LEVELS];
	size_t count = merkle_nodes((struct merkle_range) { 0, tree->size }, nodes);

	for (size_t i = 0; i < count; i++)
		nodes[i].hash = tree->peaks[nodes[i].level];
	merkle_fold(nodes, count, ret_root);
}

/* --- ranges --- */

/* The largest complete subtree that starts at `at` and ends by `end`. */
static unsigned level_at(unsigned long long at, unsigned long long end)
{
	unsigned level = 0;

	while (level + 1 < MERKLE_MAX_LEVELS && !(at & ((2ull << level) - 1)) &&
		(2ull << level) <= end - at)
		level++;
	return level;
}

size_t merkle_nodes(struct merkle_range range, struct merkle_node ret_nodes[MERKLE_MAX_LEVELS])
{
	size_t count = 0;

	while (range.begin < range.end) {
		unsigned level = level_at(range.begin, range.end);

		assert(count < MERKLE_MAX_LEVELS);
		ret_nodes[count++] =
			(struct merkle_node) { .level = level, .index = range.begin >> level };
		range.begin += 1ull << level;
	}
	return count;
}

void merkle_fold(const struct merkle_node *nodes, size_t count, struct merkle_hash *ret_hash)
{
	struct merkle_hash hash;

	if (count == 0) { /* the empty tree */
		digest_sha256("", 0, ret_hash->bytes);
		return;
	}
	hash = nodes[count - 1].hash;
	for (size_t i = count - 1; i-- > 0;)
		join(&nodes[i].hash, &hash, &hash);
	*ret_hash = hash;
}

/* --- proofs --- */

/* The largest power of two below n > 1. */
static unsigned long long split(unsigned long long n)
{
	unsigned long long k = 1;

	while (k < n - k)
		k <<= 1;
	return k;
}

static void reverse(struct merkle_range *ranges, size_t count)
{
	for (size_t i = 0; i < count / 2; i++) {
		struct merkle_range kept = ranges[i];

		ranges[i] = ranges[count - 1 - i];
		ranges[count - 1 - i] = kept;
	}
}

size_t merkle_inclusion(unsigned long long index, unsigned long long size,
	struct merkle_range ret_ranges[MERKLE_MAX_PROOF])
{
	struct merkle_range tree = { 0, size };
	size_t count = 0;

	assert(index < size);
	while (tree.end - tree.begin > 1) {
		unsigned long long middle = tree.begin + split(tree.end - tree.begin);
		struct merkle_range left = { tree.begin, middle }, right = { middle, tree.end };

		ret_ranges[count++] = index < middle ? right : left;
		tree = index < middle ? left : right;
	}
	reverse(ret_ranges, count);
	return count;
}

size_t merkle_consistency(unsigned long long from, unsigned long long to,
	struct merkle_range ret_ranges[MERKLE_MAX_PROOF])
{
	struct merkle_range tree = { 0, to };
	size_t count = 0;

	assert(from > 0 && from <= to);
	while (tree.end != from) {
		unsigned long long middle = tree.begin + split(tree.end - tree.begin);
		struct merkle_range left = { tree.begin, middle }, right = { middle, tree.end };

		ret_ranges[count++] = from <= middle ? right : left;
		tree = from <= middle ? left : right;
	}
	if (tree.begin > 0)
		ret_ranges[count++] = tree;
	reverse(ret_ranges, count);
	return count;
}

/* --- verifying --- */

static bool is_same(const struct merkle_hash *a, const struct merkle_hash *b)
{
	return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}

bool merkle_includes(unsigned long long index, unsigned long long size,
	const struct merkle_hash *leaf, const struct merkle_hash *proof, size_t count,
	const struct merkle_hash *root)
{
	unsigned long long node = index, last = size - 1;
	struct merkle_hash hash = *leaf;

	if (index >= size)
		return false;
	for (size_t i = 0; i < count; i++, node >>= 1, last >>= 1) {
		if (last == 0)
			return false;
		if (!(node & 1) && node != last) {
			join(&hash, &proof[i], &hash);
			continue;
		}
		join(&proof[i], &hash, &hash);
		for (; !(node & 1) && node != 0; node >>= 1)
			last >>= 1;
	}
	return last == 0 && is_same(&hash, root);
}

/* Both roots from one proof: RFC 9162 section 2.1.4.2, steps 5 to 7. */
static bool extends_by(unsigned long long node, unsigned long long last,
	const struct merkle_hash *proof, size_t count, const struct merkle_hash *from_root,
	const struct merkle_hash *to_root)
{
	struct merkle_hash from = proof[0], to = proof[0];

	for (size_t i = 1; i < count; i++, node >>= 1, last >>= 1) {
		if (last == 0)
			return false;
		if (!(node & 1) && node != last) {
			join(&to, &proof[i], &to);
			continue;
		}
		join(&proof[i], &from, &from);
		join(&proof[i], &to, &to);
		for (; !(node & 1) && node != 0; node >>= 1)
			last >>= 1;
	}
	return last == 0 && is_same(&from, from_root) && is_same(&to, to_root);
}

bool merkle_extends(unsigned long long from, const struct merkle_hash *from_root,
	unsigned long long to, const struct merkle_hash *to_root, const struct merkle_hash *proof,
	size_t count)
{
	struct merkle_hash whole[MERKLE_MAX_PROOF];
	unsigned long long node = from - 1, last = to - 1;

	if (from > to || count >= MERKLE_MAX_PROOF)
		return false;
	if (from == 0 || from == to)
		return count == 0 && (from == 0 || is_same(from_root, to_root));
	if (count == 0)
		return false;
	if (!(from & (from - 1))) { /* a complete tree is its own first hash */
		whole[0] = *from_root;
		memcpy(whole + 1, proof, count * sizeof(*proof));
		proof = whole;
		count++;
	}
	for (; node & 1; node >>= 1)
		last >>= 1;
	return extends_by(node, last, proof, count, from_root, to_root);
}
