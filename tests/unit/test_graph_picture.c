/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of graphs: every edge is an arrow, every object stands in the legend, no name breaks the
 * lines. */
#include "client/graph_picture.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static struct err err;

static char *picture_of(json_t *objects, json_t *edges)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *doc = json_pack("{s:s,s:o,s:o,s:{}}", "v", "strongroom-graph-1",
		"objects", objects, "edges", edges, "positions");
	struct graph graph = { .doc = NULL };

	CHECK(graph_read(arena, doc, &graph, &err) == 0);
	return graph_picture(&graph);
}

static json_t *object(const char *name, const char *kind)
{
	return json_pack("{s:s,s:n,s:{s:{s:s}}}", "name", name, "description", "ref", "placeholder",
		"kind", kind);
}

static json_t *edge(const char *source, const char *target)
{
	return json_pack("{s:{s:s,s:s},s:{s:s,s:s}}", "source", "id", source, "port", "output",
		"target", "id", target, "port", "input");
}

static void three_datasets(void)
{
	auto_free char *picture =
		picture_of(json_pack("{s:o,s:o,s:o,s:o}", "patients", object("P\n\"x", "dataset"),
				   "drugs", object("Drugs", "dataset"), "count",
				   object("Count", "app"), "result", object("Result", "dataset")),
			json_pack("{s:o,s:o,s:o}", "1", edge("patients", "count"), "2",
				edge("drugs", "count"), "3", edge("count", "result")));

	CHECK_TEXT(picture, "                      +---------+\n"
			    "(patients) --input--> |         | --output--> (result)\n"
			    "(drugs)    --input--> |  count  |\n"
			    "                      +---------+\n"
			    "patients: \"P?\"x\", placeholder (dataset)\n"
			    "drugs: \"Drugs\", placeholder (dataset)\n"
			    "count: \"Count\", placeholder (application)\n"
			    "result: \"Result\", placeholder (dataset)\n");
}

static void alone(void)
{
	auto_free char *picture =
		picture_of(json_pack("{s:o}", "a", object("A", "app")), json_object());

	CHECK_TEXT(picture, "+-----+\n"
			    "|  a  |\n"
			    "+-----+\n"
			    "a: \"A\", placeholder (application)\n");
}

/* One of many objects is told by its edges. */
static void many(void)
{
	json_t *objects = json_object(), *edges = json_object();
	auto_free char *picture = NULL;

	for (int i = 0; i < 300; i++) {
		auto_free char *id = mem_printf("n%d", i), *next = mem_printf("n%d", i + 1);

		json_object_set_new(objects, id, object(id, i % 2 ? "app" : "dataset"));
		if (i < 299)
			json_object_set_new(edges, id, edge(id, next));
	}
	picture = picture_of(objects, edges);
	CHECK(strncmp(picture, "n0.output -> n1.input\n", 22) == 0);
	CHECK(strstr(picture, "n298.output -> n299.input\nn0: \"n0\""));
}

int main(void)
{
	three_datasets();
	alone();
	many();
	CHECK_DONE();
}
