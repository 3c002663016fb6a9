/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a graph, fault by fault. Each pass goes once over the objects or the edges. */
#include <stdarg.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "proto/graph.h"

#define CYCLE_SHOWN 8

enum side { SIDE_TARGET = 1, SIDE_SOURCE = 2 };

struct judge {
	const struct graph *graph;
	const json_t *facts;
	json_t *faults;
	json_t *used;  /* "<object>/<port>": sides that edges took it for */
	json_t *known; /* ends of the edges so far */
	size_t total;
};

static void fault(struct judge *judge, const char *code, const char *what, const char *id,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void fault(struct judge *judge, const char *code, const char *what, const char *id,
	const char *fmt, ...)
{
	auto_free char *pointer = id ? mem_printf("/%s/%s", what, id) : mem_printf("/%s", what);
	char detail[512];
	va_list args;

	judge->total++;
	if (json_array_size(judge->faults) >= GRAPH_MAX_FAULTS)
		return;
	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	json_array_append_new(judge->faults,
		json_pack("{s:s,s:s,s:s}", "code", code, "pointer", pointer, "detail", detail));
}

/* --- edges --- */

static const json_t *facts_of(const struct judge *judge, const char *id)
{
	return id ? json_object_get(judge->facts, id) : NULL;
}

/* The ports of an application's configuration, or NULL when it has none or they are not known. */
static const json_t *ports_of(const struct judge *judge, const struct graph_object *object)
{
	const json_t *ports = json_object_get(facts_of(judge, object->config), "ports");

	return json_is_array(ports) ? ports : NULL;
}

static bool has(const json_t *list, const char *text)
{
	json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry) {
		if (json_is_string(entry) && strcmp(json_string_value(entry), text) == 0)
			return true;
	}
	return false;
}

static bool has_port(const struct judge *judge, const struct graph_object *object, const char *port)
{
	const json_t *ports = ports_of(judge, object);

	if (object->stands_for == GRAPH_APP && ports)
		return has(ports, port);
	if (object->kind == GRAPH_APP && object->config && !facts_of(judge, object->config))
		return true; /* a configuration that cannot be seen is a fault of its own */
	return strcmp(port, "input") == 0 || strcmp(port, "output") == 0;
}

/* Whether data can leave (or reach) the object by that port, as far as that is known. */
static bool goes(const struct judge *judge, const struct graph_object *object, const char *port,
	enum side side)
{
	const char *direction = json_text(facts_of(judge, object->ref), "direction");

	if (strcmp(port, side == SIDE_SOURCE ? "input" : "output") == 0)
		return false;
	if (object->kind == GRAPH_DATASET && direction)
		return strcmp(direction, side == SIDE_SOURCE ? "input" : "output") == 0;
	return true;
}

/* An application's port is for one direction; datasets have one port anyway. */
static void use_port(struct judge *judge, const struct graph_edge *edge,
	const struct graph_end *end, enum side side)
{
	auto_free char *key = mem_printf("%s/%s", end->id, end->port);
	json_int_t before = json_integer_value(json_object_get(judge->used, key));

	if (before && before != (json_int_t)side)
		fault(judge, "graph.wrong_direction", "edges", edge->id,
			"the port '%s' of '%s' gives data in one edge and takes it in another",
			end->port, end->id);
	json_object_set_new(judge->used, key, json_integer(before | (json_int_t)side));
}

static void check_end(struct judge *judge, const struct graph_edge *edge,
	const struct graph_end *end, enum side side)
{
	const struct graph_object *object;

	if (end->object == GRAPH_NOWHERE) {
		fault(judge, "graph.unknown_object", "edges", edge->id, "there is no object '%s'",
			end->id);
		return;
	}
	object = &judge->graph->objects[end->object];
	if (!has_port(judge, object, end->port))
		fault(judge, "graph.unknown_port", "edges", edge->id, "'%s' has no port '%s'",
			end->id, end->port);
	else if (!goes(judge, object, end->port, side))
		fault(judge, "graph.wrong_direction", "edges", edge->id,
			side == SIDE_SOURCE ? "no data leaves '%s' by the port '%s'"
					    : "no data enters '%s' by the port '%s'",
			end->id, end->port);
	use_port(judge, edge, end, side);
}

static void check_pair(struct judge *judge, const struct graph_edge *edge)
{
	const struct graph_end *source = &edge->source, *target = &edge->target;
	auto_free char *ends =
		mem_printf("%s/%s>%s/%s", source->id, source->port, target->id, target->port);
	const char *before = json_string_value(json_object_get(judge->known, ends));

	if (before)
		fault(judge, "graph.duplicate_edge", "edges", edge->id, "it joins what '%s' joins",
			before);
	else
		json_object_set_new(judge->known, ends, json_string(edge->id));
	if (source->object == GRAPH_NOWHERE || target->object == GRAPH_NOWHERE)
		return;
	if (judge->graph->objects[source->object].stands_for ==
		judge->graph->objects[target->object].stands_for)
		fault(judge, "graph.wrong_pair", "edges", edge->id,
			"an edge joins a dataset and an application, '%s' and '%s' are of one kind",
			source->id, target->id);
}

/* --- objects --- */

static bool is_used(const struct judge *judge, const struct graph_object *object, const char *port)
{
	auto_free char *key = mem_printf("%s/%s", object->id, port);

	return json_object_get(judge->used, key);
}

static void check_app_ports(struct judge *judge, const struct graph_object *object)
{
	const json_t *ports = ports_of(judge, object);
	json_t *port;
	size_t i;

	if (object->config && !facts_of(judge, object->config))
		return;
	if (!ports && !is_used(judge, object, "input"))
		fault(judge, "graph.unconnected_port", "objects", object->id,
			"nothing comes to the port 'input' of '%s'", object->id);
	json_array_foreach (ports, i, port) {
		if (!is_used(judge, object, json_string_value(port)))
			fault(judge, "graph.unconnected_port", "objects", object->id,
				"no edge is at the port '%s' of '%s'", json_string_value(port),
				object->id);
	}
}

static void check_ports(struct judge *judge, const struct graph_object *object)
{
	const char *direction = json_text(facts_of(judge, object->ref), "direction");

	if (object->stands_for == GRAPH_APP)
		check_app_ports(judge, object);
	else if (!is_used(judge, object, "input") && !is_used(judge, object, "output"))
		fault(judge, "graph.unconnected_port", "objects", object->id,
			"no edge is at the port '%s' of '%s'",
			direction && strcmp(direction, "output") == 0 ? "input" : "output",
			object->id);
}

static void check_ref(struct judge *judge, const struct graph_object *object)
{
	const char *app = json_text(facts_of(judge, object->config), "app"),
		   *build = json_text(facts_of(judge, object->ref), "build");

	if (object->kind == GRAPH_PLACEHOLDER) {
		fault(judge, "graph.placeholder", "objects", object->id,
			"'%s' stands for %s that is not named yet", object->id,
			object->stands_for == GRAPH_APP ? "an application" : "a dataset");
		return;
	}
	if (!judge->facts)
		return;
	if (!facts_of(judge, object->ref))
		fault(judge, "graph.not_shared", "objects", object->id,
			"%s is not shared with this space", object->ref);
	else if (build && strcmp(build, "WHITELISTED") != 0)
		fault(judge, "graph.build_not_approved", "objects", object->id,
			"nobody approved the build of %s", object->ref);
	if (object->config && !facts_of(judge, object->config))
		fault(judge, "graph.not_shared", "objects", object->id,
			"%s is not shared with this space", object->config);
	else if (app && strcmp(app, object->ref) != 0)
		fault(judge, "graph.wrong_config", "objects", object->id,
			"%s configures another application", object->config);
}

/* --- cycles: what has no edge coming in is taken away, again and again; cycles stay --- */

struct sorting {
	size_t *first, *next; /* edges by source: a list an object */
	size_t *incoming, *queue;
	size_t done;
};

static bool is_whole(const struct graph_edge *edge)
{
	return edge->source.object != GRAPH_NOWHERE && edge->target.object != GRAPH_NOWHERE;
}

static void list_edges(const struct graph *graph, struct sorting *sorting)
{
	for (size_t i = 0; i < graph->n_objects; i++)
		sorting->first[i] = GRAPH_NOWHERE;
	for (size_t i = 0; i < graph->n_edges; i++) {
		const struct graph_edge *edge = &graph->edges[i];

		if (!is_whole(edge))
			continue;
		sorting->next[i] = sorting->first[edge->source.object];
		sorting->first[edge->source.object] = i;
		sorting->incoming[edge->target.object]++;
	}
}

static void take_away(const struct graph *graph, struct sorting *sorting)
{
	size_t n = 0;

	for (size_t i = 0; i < graph->n_objects; i++)
		if (sorting->incoming[i] == 0)
			sorting->queue[n++] = i;
	for (; sorting->done < n; sorting->done++) {
		size_t edge = sorting->first[sorting->queue[sorting->done]];

		for (; edge != GRAPH_NOWHERE; edge = sorting->next[edge])
			if (--sorting->incoming[graph->edges[edge].target.object] == 0)
				sorting->queue[n++] = graph->edges[edge].target.object;
	}
}

/* Goes back from what stayed, edge by edge, until an object comes again: that is in a cycle. */
static size_t find_in_cycle(const struct graph *graph, const struct sorting *sorting, size_t *from)
{
	size_t at = 0;

	for (size_t i = 0; i < graph->n_edges; i++)
		if (is_whole(&graph->edges[i]) &&
			sorting->incoming[graph->edges[i].source.object] &&
			sorting->incoming[graph->edges[i].target.object])
			from[graph->edges[i].target.object] = graph->edges[i].source.object;
	while (!sorting->incoming[at])
		at++;
	for (size_t i = 0; i < graph->n_objects; i++)
		at = from[at];
	return at;
}

static void show_cycle(struct judge *judge, const size_t *from, size_t at)
{
	const struct graph_object *objects = judge->graph->objects;
	size_t len = 1;
	auto_free char *text = mem_strdup(objects[at].id);

	for (size_t i = from[at]; i != at; i = from[i]) {
		char *longer;

		if (len++ >= CYCLE_SHOWN)
			continue;
		longer = mem_printf("%s <- %s", text, objects[i].id);
		free(text);
		text = longer;
	}
	fault(judge, "graph.cycle", "objects", objects[at].id, "%s%s <- %s: a cycle of %zu", text,
		len > CYCLE_SHOWN ? " <- ..." : "", objects[at].id, len);
}

static void check_cycles(struct judge *judge)
{
	const struct graph *graph = judge->graph;
	size_t n = graph->n_objects + 1;
	auto_free size_t *first = mem_array(n, sizeof(size_t));
	auto_free size_t *next = mem_array(graph->n_edges + 1, sizeof(size_t));
	auto_free size_t *incoming = mem_array(n, sizeof(size_t));
	auto_free size_t *queue = mem_array(n, sizeof(size_t)); /* then: where edges come from */
	struct sorting sorting = { first, next, incoming, queue, 0 };

	list_edges(graph, &sorting);
	take_away(graph, &sorting);
	if (sorting.done < graph->n_objects) {
		size_t at = find_in_cycle(graph, &sorting, queue);

		show_cycle(judge, queue, at);
	}
}

static bool has_app(const struct graph *graph)
{
	for (size_t i = 0; i < graph->n_objects; i++)
		if (graph->objects[i].stands_for == GRAPH_APP)
			return true;
	return false;
}

json_t *graph_faults(const struct graph *graph, const json_t *facts, size_t *ret_total)
{
	auto_json json_t *used = json_object(), *known = json_object();
	struct judge judge = { graph, facts, json_array(), used, known, 0 };

	for (size_t i = 0; i < graph->n_edges; i++) {
		const struct graph_edge *edge = &graph->edges[i];

		check_end(&judge, edge, &edge->source, SIDE_SOURCE);
		check_end(&judge, edge, &edge->target, SIDE_TARGET);
		check_pair(&judge, edge);
	}
	for (size_t i = 0; i < graph->n_objects; i++) {
		check_ref(&judge, &graph->objects[i]);
		check_ports(&judge, &graph->objects[i]);
	}
	if (!has_app(graph))
		fault(&judge, "graph.no_app", "objects", NULL, "no application is in the graph");
	check_cycles(&judge);
	*ret_total = judge.total;
	return judge.faults;
}
