/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left when layers lie on each other: a tree of names in memory, without contents. A file
 * knows where its contents stand (layer, number of the entry in it); names that are hard links of
 * each other share one file. Whiteouts of the OCI layer format are applied. Devices, pipes and
 * sockets are left out: they do not arrive in a sandbox.
 */
#ifndef STRONGROOM_CLIENT_IMAGE_TREE_H
#define STRONGROOM_CLIENT_IMAGE_TREE_H

#include <archive_entry.h>

#include "lib/err.h"

#define IMAGE_MAX_NODES 500000u

struct image_tree;

struct image_file {
	struct archive_entry *entry; /* of the file itself: owner, mode, size */
	unsigned layer;
	long long number;
	unsigned n_names;
	const struct image_node *first; /* the name that was written; NULL: none yet */
};

struct image_node {
	char *name;
	struct image_node *parent;
	void *children; /* tsearch(3) */
	unsigned layer;
	struct archive_entry *entry; /* NULL for files */
	struct image_file *file;
};

struct image_tree *image_tree_new(void);
void image_tree_free(struct image_tree *tree);

/* Layers one after the other, lowest (0) first; `number` counts the entries of a layer. image.layer
 */
int image_tree_add(struct image_tree *tree, unsigned layer, long long number,
	struct archive_entry *entry, struct err *err) __attribute__((warn_unused_result));
/* Takes a name of the root folder away, if it is there. */
void image_tree_drop(struct image_tree *tree, const char *name);

/* Every node, folders before what is in them, names in byte order. */
int image_tree_walk(struct image_tree *tree,
	int (*visit)(void *arg, struct image_node *node, struct err *err), void *arg,
	struct err *err);
/* Files that this layer brought and that still have a name: by number; NULL: none such. */
struct image_file *image_tree_file(const struct image_tree *tree, unsigned layer, long long number);
char *image_node_path(const struct image_node *node); /* without leading '/'; caller frees */

#endif
