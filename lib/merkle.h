/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 6962 (RFC 9162) Merkle trees over SHA-256, without a memory of their own. A log keeps the
 * hash of every complete subtree, (level, index); what a proof asks for is a list of ranges of
 * leaves, each the fold of at most 63 of those nodes. So appending, roots and proofs cost the
 * logarithm of the size, and the verifiers need nothing but the proof.
 */
#ifndef STRONGROOM_MERKLE_H
#define STRONGROOM_MERKLE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/digest.h"
#include "lib/err.h"

#define MERKLE_MAX_LEVELS 63u
#define MERKLE_MAX_PROOF (MERKLE_MAX_LEVELS + 1)

struct merkle_hash {
	unsigned char bytes[DIGEST_SIZE];
};

/* A complete subtree: the leaves [index << level, (index + 1) << level). */
struct merkle_node {
	unsigned level;
	unsigned long long index;
	struct merkle_hash hash;
};

/* The leaves [begin, end) of a tree. */
struct merkle_range {
	unsigned long long begin, end;
};

/* What appending needs to know of a tree: its complete subtrees, one for each bit of its size. */
struct merkle_tree {
	unsigned long long size;
	struct merkle_hash peaks[MERKLE_MAX_LEVELS]; /* by level; only set bits of `size` count */
};

void merkle_leaf(const void *data, size_t len, struct merkle_hash *ret_hash);

/* Adds a leaf and writes the complete subtrees that it makes, the leaf first; returns how many. */
size_t merkle_append(struct merkle_tree *tree, const struct merkle_hash *leaf,
	struct merkle_node ret_nodes[MERKLE_MAX_LEVELS]);
void merkle_root(const struct merkle_tree *tree, struct merkle_hash *ret_root);

/* The complete subtrees of a range, left to right, without their hashes; returns how many. Those
 * of [0, size) are the tree's peaks. */
size_t merkle_nodes(struct merkle_range range, struct merkle_node ret_nodes[MERKLE_MAX_LEVELS]);
/* The hash of a range from its nodes as merkle_nodes() lists them, with hashes. */
void merkle_fold(const struct merkle_node *nodes, size_t count, struct merkle_hash *ret_hash);

/* What a proof consists of, in its order; returns how many. `index` < `size`; 0 < from <= to. */
size_t merkle_inclusion(unsigned long long index, unsigned long long size,
	struct merkle_range ret_ranges[MERKLE_MAX_PROOF]);
size_t merkle_consistency(unsigned long long from, unsigned long long to,
	struct merkle_range ret_ranges[MERKLE_MAX_PROOF]);

bool merkle_includes(unsigned long long index, unsigned long long size,
	const struct merkle_hash *leaf, const struct merkle_hash *proof, size_t count,
	const struct merkle_hash *root);
/* Whether the tree `to` is the tree `from` with leaves added. An empty tree is in every tree. */
bool merkle_extends(unsigned long long from, const struct merkle_hash *from_root,
	unsigned long long to, const struct merkle_hash *to_root, const struct merkle_hash *proof,
	size_t count);

#endif
