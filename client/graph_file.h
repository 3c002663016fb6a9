/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workflow as a person writes it, in YAML or JSON:
 *   name: study          space: research       description: …
 *   objects:
 *     patients: {name: Patients, dataset: dst_… or its name}
 *     count:    {name: Count, app: app_… or its name, config: acf_… or its name}
 *     later:    {placeholder: dataset}
 *   edges:
 *     - patients -> count                 the same as patients.output -> count.input
 *     - count.output -> result.input
 *   positions: {patients: {x: 0, y: 0}}
 * or, with "v": "strongroom-graph-1", the document of proto/graph.h itself, as `workflow show
 * --json` prints it below "graph".
 */
#ifndef STRONGROOM_CLIENT_GRAPH_FILE_H
#define STRONGROOM_CLIENT_GRAPH_FILE_H

#include "client/session.h"

struct graph_file {
	json_t *graph;			     /* of proto/graph.h */
	char *name, *space_id, *description; /* NULL when the file does not say */
};

/* "-": standard input. Names are looked up, ids are taken as they are; `session` NULL: names are
 * refused. graph_file.invalid, plan.syntax, client.not_found. */
int graph_file_read(struct session *session, const char *path, struct graph_file *ret_file,
	struct err *err) __attribute__((warn_unused_result));
void graph_file_release(struct graph_file *file);

#endif
