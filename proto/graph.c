/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a graph: the form of the document by tables, then its edges' ends looked up by a hash of
 * the ids, so that the time grows with the size. */
#include "proto/graph.h"

#include <string.h>

#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"

#define COORDINATE_MAX 1000000
#define ID_MAX_LEN 31

static bool is_version(const char *text)
{
	return strcmp(text, "strongroom-graph-1") == 0;
}

static bool is_id(const char *text)
{
	return rule_is_label(text) && strlen(text) <= ID_MAX_LEN;
}

static bool is_ref(const char *text)
{
	return strcmp(text, "placeholder") == 0 || strcmp(text, "dataset") == 0 ||
	       strcmp(text, "app") == 0;
}

static bool is_kind(const char *text)
{
	return strcmp(text, "dataset") == 0 || strcmp(text, "app") == 0;
}

static bool is_app(const char *text)
{
	return id_is(text, "app");
}

static bool is_config(const char *text)
{
	return id_is(text, "acf");
}

static const struct rule ANY = { .name = "", .kind = RULE_ANY };

static const struct rule OBJECT[] = {
	{ .name = "name", .kind = RULE_TEXT, .min = 1, .max = 255 },
	{ .name = "description", .kind = RULE_TEXT, .max = 4096, .or_null = true },
	{ .name = "ref", .kind = RULE_MAP, .is = is_ref, .of = &ANY, .min = 1, .max = 1 },
	{ .name = NULL },
};
static const struct rule ONE_OBJECT = { .name = "", .kind = RULE_OBJECT, .of = OBJECT };

static const struct rule END[] = {
	{ .name = "id", .kind = RULE_TEXT, .is = is_id },
	{ .name = "port", .kind = RULE_TEXT, .is = rule_is_label },
	{ .name = NULL },
};

static const struct rule EDGE[] = {
	{ .name = "source", .kind = RULE_OBJECT, .of = END },
	{ .name = "target", .kind = RULE_OBJECT, .of = END },
	{ .name = NULL },
};
static const struct rule ONE_EDGE = { .name = "", .kind = RULE_OBJECT, .of = EDGE };

static const struct rule POSITION[] = {
	{ .name = "x", .kind = RULE_NUMBER, .min = -COORDINATE_MAX, .max = COORDINATE_MAX },
	{ .name = "y", .kind = RULE_NUMBER, .min = -COORDINATE_MAX, .max = COORDINATE_MAX },
	{ .name = NULL },
};
static const struct rule ONE_POSITION = { .name = "", .kind = RULE_OBJECT, .of = POSITION };

static const struct rule GRAPH[] = {
	{ .name = "v", .kind = RULE_TEXT, .is = is_version },
	{ .name = "objects",
		.kind = RULE_MAP,
		.is = is_id,
		.of = &ONE_OBJECT,
		.max = GRAPH_MAX_OBJECTS },
	{ .name = "edges", .kind = RULE_MAP, .is = is_id, .of = &ONE_EDGE, .max = GRAPH_MAX_EDGES },
	{ .name = "positions",
		.kind = RULE_MAP,
		.is = is_id,
		.of = &ONE_POSITION,
		.max = GRAPH_MAX_OBJECTS },
	{ .name = NULL },
};

static const struct rule PLACEHOLDER_REF[] = {
	{ .name = "kind", .kind = RULE_TEXT, .is = is_kind },
	{ .name = NULL },
};
static const struct rule DATASET_REF[] = {
	{ .name = "dataset_id", .kind = RULE_TEXT, .is = rule_is_dataset },
	{ .name = NULL },
};
static const struct rule APP_REF[] = {
	{ .name = "app_id", .kind = RULE_TEXT, .is = is_app },
	{ .name = "config_id", .kind = RULE_TEXT, .is = is_config, .or_null = true },
	{ .name = NULL },
};

static const struct rule *const REFS[] = {
	[GRAPH_PLACEHOLDER] = PLACEHOLDER_REF,
	[GRAPH_DATASET] = DATASET_REF,
	[GRAPH_APP] = APP_REF,
};

static enum graph_kind kind_of(const char *text)
{
	if (strcmp(text, "placeholder") == 0)
		return GRAPH_PLACEHOLDER;
	return strcmp(text, "dataset") == 0 ? GRAPH_DATASET : GRAPH_APP;
}

static int read_object(
	const char *id, json_t *value, struct graph_object *ret_object, struct err *err)
{
	json_t *ref = json_object_get(value, "ref");
	const char *kind = json_object_iter_key(json_object_iter(ref));
	const json_t *words = json_object_get(ref, kind);
	struct graph_object object = { id, json_text(value, "name"), kind_of(kind), kind_of(kind),
		NULL, NULL };
	struct err bad = { .kind = ERR_NONE };

	if (rule_check(REFS[object.kind], words, "graph.invalid", "graph", &bad) < 0) {
		auto_free char *pointer =
			mem_printf("/objects/%s/ref/%s%s", id, kind, bad.fields[0].pointer);

		err_set(err, ERR_INVALID, "graph.invalid", "graph: '%s' %s", pointer,
			bad.fields[0].detail);
		return err_field(err, pointer, bad.fields[0].code, "%s", bad.fields[0].detail);
	}
	if (object.kind == GRAPH_PLACEHOLDER)
		object.stands_for = kind_of(json_text(words, "kind"));
	object.ref = json_text(words, object.kind == GRAPH_APP ? "app_id" : "dataset_id");
	object.config = json_text(words, "config_id");
	*ret_object = object;
	return 0;
}

/* Fills the objects, and `places` with where each id stands. */
static int read_objects(struct arena *arena, const json_t *doc, struct graph *graph, json_t *places,
	struct err *err)
{
	json_t *objects = json_object_get(doc, "objects"), *value;
	const char *id;

	graph->objects =
		arena_alloc(arena, (json_object_size(objects) + 1) * sizeof(*graph->objects));
	json_object_foreach (objects, id, value) {
		json_object_set_new(places, id, json_integer((json_int_t)graph->n_objects));
		if (read_object(id, value, &graph->objects[graph->n_objects++], err) < 0)
			return -1;
	}
	return 0;
}

static struct graph_end read_end(const json_t *value, const json_t *places)
{
	const char *id = json_text(value, "id");
	const json_t *place = json_object_get(places, id);

	return (struct graph_end) { id, json_text(value, "port"),
		place ? (size_t)json_integer_value(place) : GRAPH_NOWHERE };
}

static void read_edges(
	struct arena *arena, const json_t *doc, struct graph *graph, const json_t *places)
{
	json_t *edges = json_object_get(doc, "edges"), *value;
	const char *id;

	graph->edges = arena_alloc(arena, (json_object_size(edges) + 1) * sizeof(*graph->edges));
	json_object_foreach (edges, id, value) {
		graph->edges[graph->n_edges++] = (struct graph_edge) { id,
			read_end(json_object_get(value, "source"), places),
			read_end(json_object_get(value, "target"), places) };
	}
}

/* Where the boxes stand changes nothing that anybody agrees to. */
static int hash(const json_t *doc, char ret_hash[DIGEST_TEXT_SIZE], struct err *err)
{
	auto_json json_t *meaning = json_copy((json_t *)doc);

	json_object_del(meaning, "positions");
	return jcs_digest(meaning, ret_hash, err);
}

int graph_read(struct arena *arena, const json_t *doc, struct graph *ret_graph, struct err *err)
{
	auto_json json_t *places = json_object();
	struct graph graph = { .doc = doc };

	if (rule_check(GRAPH, doc, "graph.invalid", "graph", err) < 0 ||
		read_objects(arena, doc, &graph, places, err) < 0 || hash(doc, graph.hash, err) < 0)
		return -1;
	read_edges(arena, doc, &graph, places);
	*ret_graph = graph;
	return 0;
}

const struct graph_object *graph_joined(const struct graph *graph, const struct graph_object *app,
	bool is_source, size_t *at, const char **ret_port)
{
	size_t self = (size_t)(app - graph->objects);

	while (*at < graph->n_edges) {
		const struct graph_edge *edge = &graph->edges[(*at)++];
		const struct graph_end *own = is_source ? &edge->source : &edge->target,
				       *other = is_source ? &edge->target : &edge->source;

		if (own->object != self || other->object == GRAPH_NOWHERE)
			continue;
		*ret_port = own->port;
		return &graph->objects[other->object];
	}
	return NULL;
}
