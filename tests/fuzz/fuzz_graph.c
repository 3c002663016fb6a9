/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs that anybody sends: what is read keeps to its limits, is judged to the end, has a hash of
 * its own, and does not differ from itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "proto/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void judge(const struct graph *graph, const json_t *facts)
{
	size_t total = 0;
	auto_json json_t *faults = graph_faults(graph, facts, &total);

	must(json_array_size(faults) == (total < GRAPH_MAX_FAULTS ? total : GRAPH_MAX_FAULTS));
	must(total > 0 || graph->n_objects > 1); /* an application and what is joined to it */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena *arena = arena_new();
	auto_free char *text = mem_strndup((const char *)data, size);
	auto_json json_t *doc = json_parse(text, strlen(text), NULL), *facts = json_object(),
			 *changes = NULL;
	struct graph graph;

	if (!doc || graph_read(arena, doc, &graph, NULL) < 0)
		return 0;
	must(graph.n_objects <= GRAPH_MAX_OBJECTS && graph.n_edges <= GRAPH_MAX_EDGES);
	judge(&graph, NULL);
	judge(&graph, facts);
	changes = graph_diff(doc, doc);
	must(json_array_size(changes) == 0 && strncmp(graph.hash, "sha256:", 7) == 0);
	return 0;
}
