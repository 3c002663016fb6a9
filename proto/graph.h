/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph of a workflow: which datasets meet which applications, and where what comes out goes.
 * Pure: the service and the client read, judge and compare graphs by the same code. The document:
 * {"v":"strongroom-graph-1","objects":{id:{"name","description":text|null,"ref"}},
 *  "edges":{id:{"source":{"id","port"},"target":{"id","port"}}},"positions":{id:{"x","y"}}}
 * with ref one of {"placeholder":{"kind":"dataset"|"app"}}, {"dataset":{"dataset_id"}},
 * {"app":{"app_id","config_id":id|null}}. Data goes from source to target.
 */
#ifndef STRONGROOM_GRAPH_H
#define STRONGROOM_GRAPH_H

#include <jansson.h>

#include "lib/arena.h"
#include "lib/digest.h"
#include "lib/err.h"

#define GRAPH_MAX_OBJECTS 10000
#define GRAPH_MAX_EDGES 20000
#define GRAPH_MAX_FAULTS 100
#define GRAPH_NOWHERE ((size_t)-1)

enum graph_kind { GRAPH_PLACEHOLDER, GRAPH_DATASET, GRAPH_APP };

/* Texts are the document's. */
struct graph_object {
	const char *id, *name;
	enum graph_kind kind;
	enum graph_kind stands_for; /* what a placeholder will be; else as `kind` */
	const char *ref;	    /* dst_… or app_…; NULL for a placeholder */
	const char *config;	    /* acf_… or NULL */
};

struct graph_end {
	const char *id, *port;
	size_t object; /* GRAPH_NOWHERE when there is no such object */
};

struct graph_edge {
	const char *id;
	struct graph_end source, target;
};

struct graph {
	const json_t *doc;	     /* borrowed */
	char hash[DIGEST_TEXT_SIZE]; /* of the canonical form without positions */
	struct graph_object *objects;
	struct graph_edge *edges;
	size_t n_objects, n_edges;
};

/* The document's form: graph.invalid with every bad member. What edges mean is not looked at; a
 * draft may be wrong. `doc` outlives the graph. */
int graph_read(struct arena *arena, const json_t *doc, struct graph *ret_graph, struct err *err);

/* Every fault, [{"code","pointer","detail"}], at most GRAPH_MAX_FAULTS of them; *ret_total counts
 * all. `facts` is what the asker can see of what the objects refer to, {"dst_…":{"direction"},
 * "app_…":{"build"},"acf_…":{"app","ports":[…]|null}}; what is not in it is graph.not_shared. NULL
 * facts: that is not looked at. New reference. */
json_t *graph_faults(const struct graph *graph, const json_t *facts, size_t *ret_total);

/* What makes `after` of `before`, in an order that does not depend on the documents' own:
 * [{"change":"added"|"removed"|"changed","what":"object"|"edge","id","member":name|null,"from",
 * "to","text"}], `text` being a sentence. Moved boxes are no change. New reference. */
json_t *graph_diff(const json_t *before, const json_t *after);

/* Goes through what is joined to an application's input side, or with `is_source` to its output
 * side. *at begins at 0; NULL when there is no more. */
const struct graph_object *graph_joined(const struct graph *graph, const struct graph_object *app,
	bool is_source, size_t *at, const char **ret_port);

#endif
