/* SPDX-License-Identifier: Apache-2.0 */
/* A graph as a picture in plain text: the objects in columns, from where data comes to where it
 * goes, with an arrow for each edge. */
#ifndef STRONGROOM_CLIENT_GRAPH_PICTURE_H
#define STRONGROOM_CLIENT_GRAPH_PICTURE_H

#include "proto/graph.h"

/* Lines, each ended by a newline; of a graph with very many objects only the edges. Caller frees.
 */
char *graph_picture(const struct graph *graph);

#endif
