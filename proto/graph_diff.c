/* SPDX-License-Identifier: Apache-2.0 */
/* Two graphs, told apart for a person: objects first, then edges, each by its id's order. */
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "proto/graph.h"

struct change {
	const char *change, *what, *id, *member;
	const json_t *from, *to;
};

static void add(json_t *list, const struct change *change, char *text)
{
	json_array_append_new(
		list, json_pack("{s:s,s:s,s:s,s:s?,s:O?,s:O?,s:s}", "change", change->change,
			      "what", change->what, "id", change->id, "member", change->member,
			      "from", change->from, "to", change->to, "text", text));
	free(text);
}

/* "the dataset dst_…", "a placeholder for an app" */
static char *ref_text(const json_t *object)
{
	const json_t *ref = json_object_get(object, "ref"),
		     *placeholder = json_object_get(ref, "placeholder"),
		     *app = json_object_get(ref, "app");
	const char *config = json_text(app, "config_id");

	if (placeholder)
		return mem_printf("a placeholder (%s)", json_text(placeholder, "kind"));
	if (!app)
		return mem_printf(
			"the dataset %s", json_text(json_object_get(ref, "dataset"), "dataset_id"));
	return config ? mem_printf("the app %s with %s", json_text(app, "app_id"), config)
		      : mem_printf("the app %s", json_text(app, "app_id"));
}

static char *edge_text(const json_t *edge)
{
	const json_t *source = json_object_get(edge, "source"),
		     *target = json_object_get(edge, "target");

	return mem_printf("%s.%s -> %s.%s", json_text(source, "id"), json_text(source, "port"),
		json_text(target, "id"), json_text(target, "port"));
}

static char *whole_text(const char *what, const char *id, const json_t *value)
{
	auto_free char *words = strcmp(what, "edge") == 0 ? edge_text(value) : ref_text(value);
	const char *name = json_text(value, "name");

	return name ? mem_printf("%s \"%s\": %s", id, name, words)
		    : mem_printf("%s: %s", id, words);
}

static const char *or_nothing(const char *text)
{
	return text ? text : "";
}

static char *member_text(const struct change *change, const json_t *before, const json_t *after)
{
	auto_free char *from = NULL, *to = NULL;

	if (strcmp(change->member, "ref") == 0) {
		from = ref_text(before);
		to = ref_text(after);
		return mem_printf("%s: %s is now %s", change->id, from, to);
	}
	return mem_printf("%s: %s \"%s\" is now \"%s\"", change->id, change->member,
		or_nothing(json_string_value(change->from)),
		or_nothing(json_string_value(change->to)));
}

static void compare_objects(json_t *list, const char *id, const json_t *before, const json_t *after)
{
	static const char *const members[] = { "name", "description", "ref" };

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		struct change change = { "changed", "object", id, members[i],
			json_object_get(before, members[i]), json_object_get(after, members[i]) };

		if (!json_equal(change.from, change.to))
			add(list, &change, member_text(&change, before, after));
	}
}

static void compare_edges(json_t *list, const char *id, const json_t *before, const json_t *after)
{
	const struct change change = { "changed", "edge", id, NULL, before, after };
	auto_free char *from = edge_text(before), *to = edge_text(after);

	if (!json_equal(before, after))
		add(list, &change, mem_printf("%s: %s is now %s", id, from, to));
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of both maps, each once. */
static size_t all_ids(const json_t *before, const json_t *after, const char **ids)
{
	const char *id;
	json_t *value;
	size_t n = 0;

	json_object_foreach ((json_t *)before, id, value)
		ids[n++] = id;
	json_object_foreach ((json_t *)after, id, value)
		if (!json_object_get(before, id))
			ids[n++] = id;
	qsort(ids, n, sizeof(*ids), by_text);
	return n;
}

static void compare(json_t *list, const char *what, const json_t *before, const json_t *after)
{
	auto_free const char **ids =
		mem_array(json_object_size(before) + json_object_size(after) + 1, sizeof(*ids));
	size_t n = all_ids(before, after, ids);

	for (size_t i = 0; i < n; i++) {
		const json_t *from = json_object_get(before, ids[i]),
			     *to = json_object_get(after, ids[i]);
		const struct change change = { to ? "added" : "removed", what, ids[i], NULL, from,
			to };

		if (!from || !to)
			add(list, &change, whole_text(what, ids[i], to ? to : from));
		else if (strcmp(what, "edge") == 0)
			compare_edges(list, ids[i], from, to);
		else
			compare_objects(list, ids[i], from, to);
	}
}

json_t *graph_diff(const json_t *before, const json_t *after)
{
	json_t *list = json_array();

	compare(list, "object", json_object_get(before, "objects"),
		json_object_get(after, "objects"));
	compare(list, "edge", json_object_get(before, "edges"), json_object_get(after, "edges"));
	return list;
}
