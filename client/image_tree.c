/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders keep their children in a tsearch(3) tree by name; files stand in a second one by layer
 * and number. Parents are looked up as a chroot would: links inside the image are followed, `..`
 * never leaves it.
 */
#include "client/image_tree.h"

#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define MAX_LINKS 40
#define MAX_DEPTH 200u
#define MAX_PATH 4096u

struct image_tree {
	struct image_node root;
	void *files;
	unsigned n_nodes;
};

/* --- nodes --- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct image_node *)a)->name, ((const struct image_node *)b)->name);
}

static int by_place(const void *a, const void *b)
{
	const struct image_file *x = a, *y = b;

	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

static struct image_node *child_of(const struct image_node *folder, const char *name)
{
	const struct image_node key = { .name = (char *)name };
	struct image_node **found = (struct image_node **)tfind(&key, &folder->children, by_name);

	return found ? *found : NULL;
}

static bool is_kind(const struct image_node *node, unsigned kind)
{
	return node->entry && archive_entry_filetype(node->entry) == kind;
}

static void drop_name(struct image_tree *tree, struct image_file *file)
{
	if (--file->n_names > 0)
		return;
	tdelete(file, &tree->files, by_place);
	archive_entry_free(file->entry);
	free(file);
}

static void clear_value(struct image_tree *tree, struct image_node *node)
{
	archive_entry_free(node->entry);
	node->entry = NULL;
	if (node->file)
		drop_name(tree, node->file);
	node->file = NULL;
}

struct list {
	struct image_node **nodes;
	size_t count, space;
};

/* twalk(3) in order: each node comes once as `postorder` or `leaf`. */
static void collect(const void *at, VISIT which, void *arg)
{
	struct list *list = arg;

	if (which != postorder && which != leaf)
		return;
	if (list->count == list->space) {
		list->space = list->space ? list->space * 2 : 16;
		list->nodes = mem_grow(list->nodes, list->space, sizeof(struct image_node *));
	}
	list->nodes[list->count++] = *(struct image_node *const *)at;
}

static void remove_node(struct image_tree *tree, struct image_node *node);

static void empty_folder(struct image_tree *tree, struct image_node *folder)
{
	struct list list = { .nodes = NULL };

	twalk_r(folder->children, collect, &list);
	for (size_t i = 0; i < list.count; i++)
		remove_node(tree, list.nodes[i]);
	free(list.nodes);
}

static void remove_node(struct image_tree *tree, struct image_node *node)
{
	empty_folder(tree, node);
	tdelete(node, &node->parent->children, by_name);
	clear_value(tree, node);
	free(node->name);
	free(node);
	tree->n_nodes--;
}

struct image_tree *image_tree_new(void)
{
	struct image_tree *tree = mem_alloc(sizeof(*tree));

	tree->root.name = mem_strdup("");
	return tree;
}

void image_tree_free(struct image_tree *tree)
{
	if (!tree)
		return;
	empty_folder(tree, &tree->root);
	clear_value(tree, &tree->root);
	free(tree->root.name);
	free(tree);
}

void image_tree_drop(struct image_tree *tree, const char *name)
{
	struct image_node *node = child_of(&tree->root, name);

	if (node)
		remove_node(tree, node);
}

/* --- walking --- */

static int walk(struct image_node *folder,
	int (*visit)(void *arg, struct image_node *node, struct err *err), void *arg,
	struct err *err)
{
	struct list list = { .nodes = NULL };
	int result = 0;

	twalk_r(folder->children, collect, &list);
	for (size_t i = 0; i < list.count && result == 0; i++) {
		result = visit(arg, list.nodes[i], err);
		if (result == 0)
			result = walk(list.nodes[i], visit, arg, err);
	}
	free(list.nodes);
	return result;
}

int image_tree_walk(struct image_tree *tree,
	int (*visit)(void *arg, struct image_node *node, struct err *err), void *arg,
	struct err *err)
{
	return walk(&tree->root, visit, arg, err);
}

struct image_file *image_tree_file(const struct image_tree *tree, unsigned layer, long long number)
{
	const struct image_file key = { .layer = layer, .number = number };
	struct image_file **found = (struct image_file **)tfind(&key, &tree->files, by_place);

	return found ? *found : NULL;
}

char *image_node_path(const struct image_node *node)
{
	auto_free char *above = NULL;

	if (!node->parent || !node->parent->parent)
		return mem_strdup(node->name);
	above = image_node_path(node->parent);
	return mem_printf("%s/%s", above, node->name);
}

/* --- paths --- */

static int refuse(struct err *err, const char *path, const char *what)
{
	return err_set(err, ERR_INVALID, "image.layer", "'%.120s': %s", path, what);
}

static struct image_node *add_node(
	struct image_tree *tree, struct image_node *folder, const char *name, unsigned layer)
{
	struct image_node *node = mem_alloc(sizeof(*node));

	node->name = mem_strdup(name);
	node->parent = folder;
	node->layer = layer;
	if (!tsearch(node, &folder->children, by_name))
		abort();
	tree->n_nodes++;
	return node;
}

static struct archive_entry *plain_folder(void)
{
	struct archive_entry *entry = archive_entry_new();

	archive_entry_set_filetype(entry, AE_IFDIR);
	archive_entry_set_perm(entry, 0755);
	return entry;
}

/* A walk along a path: what is still to go, and how many links were followed. */
struct route {
	struct image_tree *tree;
	struct image_node *at;
	char *rest;
	unsigned links, layer;
};

/* Puts the target of a link before what is still to go. */
static int follow(struct route *route, const struct image_node *link)
{
	const char *target = archive_entry_symlink(link->entry);
	char *rest;

	if (!target || ++route->links > MAX_LINKS ||
		strlen(target) + strlen(route->rest) > MAX_PATH)
		return -1;
	if (*target == '/')
		route->at = &route->tree->root;
	rest = mem_printf("%s/%s", target, route->rest);
	free(route->rest);
	route->rest = rest;
	return 0;
}

/* One part of the way; missing folders are made. */
static int advance(struct route *route, const char *name)
{
	struct image_node *next;

	if (!*name || strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		if (route->at->parent)
			route->at = route->at->parent;
		return 0;
	}
	next = child_of(route->at, name);
	if (next && is_kind(next, AE_IFLNK))
		return follow(route, next);
	if (!next) {
		next = add_node(route->tree, route->at, name, route->layer);
		next->entry = plain_folder();
	}
	if (!is_kind(next, AE_IFDIR))
		return -1;
	route->at = next;
	return 0;
}

/* The folder that a name of the archive is in, and the last part of the name ("" for the root). */
static int find_parent(struct image_tree *tree, const char *path, unsigned layer,
	struct image_node **ret_folder, char **ret_name, struct err *err)
{
	struct route route = { .tree = tree, .at = &tree->root, .layer = layer };
	auto_free char *name = NULL;
	size_t len = strlen(path);
	int result = 0;

	while (len > 0 && path[len - 1] == '/')
		len--;
	route.rest = mem_strndup(path, len);
	for (unsigned depth = 0; result == 0; depth++) {
		size_t part = strcspn(route.rest, "/");
		char *rest;

		free(name);
		name = mem_strndup(route.rest, part);
		if (!route.rest[part])
			break;
		rest = mem_strdup(route.rest + part + 1);
		free(route.rest);
		route.rest = rest;
		result = depth > MAX_PATH ? -1 : advance(&route, name);
	}
	free(route.rest);
	if (result < 0 || strcmp(name, "..") == 0)
		return refuse(err, path, "not a path inside the image");
	if (strcmp(name, ".") == 0)
		*name = '\0';
	*ret_folder = route.at;
	*ret_name = take_ptr(name);
	return 0;
}

/* --- whiteouts --- */

/* Removes what lower layers brought; true when nothing is left of the node. */
static bool prune(struct image_tree *tree, struct image_node *node, unsigned layer)
{
	struct list list = { .nodes = NULL };

	twalk_r(node->children, collect, &list);
	for (size_t i = 0; i < list.count; i++) {
		if (prune(tree, list.nodes[i], layer))
			remove_node(tree, list.nodes[i]);
	}
	free(list.nodes);
	return node->layer < layer && !node->children;
}

static void white_out(
	struct image_tree *tree, struct image_node *folder, const char *name, unsigned layer)
{
	struct image_node *node = folder;

	if (strcmp(name, OPAQUE) != 0)
		node = child_of(folder, name + strlen(WHITEOUT));
	if (node && prune(tree, node, layer) && node != folder)
		remove_node(tree, node);
}

/* --- entries --- */

static struct image_file *new_file(
	struct image_tree *tree, unsigned layer, long long number, struct archive_entry *entry)
{
	struct image_file *file = mem_alloc(sizeof(*file));

	file->entry = archive_entry_clone(entry);
	file->layer = layer;
	file->number = number;
	if (!tsearch(file, &tree->files, by_place))
		abort();
	return file;
}

/* The node of that name, empty and ready for a new value; a folder stays one with what is in it. */
static struct image_node *make_room(struct image_tree *tree, struct image_node *folder,
	const char *name, unsigned layer, bool for_folder)
{
	struct image_node *node = child_of(folder, name);

	if (!node)
		return add_node(tree, folder, name, layer);
	if (!for_folder || !is_kind(node, AE_IFDIR))
		empty_folder(tree, node);
	clear_value(tree, node);
	node->layer = layer;
	return node;
}

/* What it links to may go when the new name replaces a folder above it: so its value is held first.
 */
static int put_link(struct image_tree *tree, struct image_node *folder, const char *name,
	unsigned layer, const char *target, struct err *err)
{
	struct image_node *above = NULL, *from, *node;
	struct archive_entry *entry = NULL;
	auto_free char *last = NULL;
	struct image_file *file;

	if (find_parent(tree, target, layer, &above, &last, err) < 0)
		return -1;
	from = child_of(above, last);
	if (!from || is_kind(from, AE_IFDIR))
		return refuse(err, target, "a hard link to what is no file");
	if (from->parent == folder && strcmp(from->name, name) == 0)
		return 0;
	file = from->file;
	if (file)
		file->n_names++;
	else
		entry = archive_entry_clone(from->entry);
	node = make_room(tree, folder, name, layer, false);
	node->file = file;
	node->entry = entry;
	return 0;
}

static int put(struct image_tree *tree, struct image_node *folder, const char *name, unsigned layer,
	long long number, struct archive_entry *entry)
{
	unsigned kind = archive_entry_filetype(entry);
	struct image_node *node;

	if (kind != AE_IFREG && kind != AE_IFDIR && kind != AE_IFLNK)
		return 0;
	node = make_room(tree, folder, name, layer, kind == AE_IFDIR);
	if (kind != AE_IFREG) {
		node->entry = archive_entry_clone(entry);
		return 0;
	}
	node->file = new_file(tree, layer, number, entry);
	node->file->n_names = 1;
	return 0;
}

/* Targets of links may climb, as in a chroot; names of entries have no reason to. */
static bool climbs(const char *path)
{
	for (size_t part; *path; path += part + (path[part] == '/')) {
		part = strcspn(path, "/");
		if (part == 2 && memcmp(path, "..", 2) == 0)
			return true;
	}
	return false;
}

static unsigned depth_of(const struct image_node *node)
{
	unsigned depth = 0;

	for (; node->parent; node = node->parent)
		depth++;
	return depth;
}

int image_tree_add(struct image_tree *tree, unsigned layer, long long number,
	struct archive_entry *entry, struct err *err)
{
	const char *path = archive_entry_pathname(entry);
	struct image_node *folder = NULL;
	auto_free char *name = NULL;

	if (!path || strlen(path) > MAX_PATH)
		return refuse(err, path ? path : "", "a name that cannot be read");
	if (climbs(path))
		return refuse(err, path, "a name with '..'");
	if (find_parent(tree, path, layer, &folder, &name, err) < 0)
		return -1;
	if (tree->n_nodes > IMAGE_MAX_NODES || depth_of(folder) > MAX_DEPTH)
		return refuse(err, path, "too many or too deep files");
	if (!*name) /* the root's own mode is the sandbox's */
		return 0;
	if (strncmp(name, WHITEOUT, strlen(WHITEOUT)) == 0) {
		white_out(tree, folder, name, layer);
		return 0;
	}
	if (archive_entry_hardlink(entry))
		return put_link(tree, folder, name, layer, archive_entry_hardlink(entry), err);
	return put(tree, folder, name, layer, number, entry);
}
