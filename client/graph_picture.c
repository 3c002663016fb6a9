/* SPDX-License-Identifier: Apache-2.0 */
/* Each application is a box with a line for every edge that comes to it and every one that leaves
 * it. Ids are drawn, which are plain ASCII; names stand in the legend. */
#include "client/graph_picture.h"

#include <stdlib.h>
#include <string.h>

#include "client/ui.h"
#include "lib/buf.h"
#include "lib/mem.h"

#define MAX_DRAWN 200
#define MAX_TEXT (4u << 20)

/* The edges at one side of an application. */
struct side {
	const struct graph_edge **edges;
	size_t n, label_width, port_width;
	bool is_source;
};

struct pen {
	struct buf *text;
	struct err ignored; /* a picture that is too large ends early */
	const struct graph *graph;
};

#define DRAW(pen, ...) ((void)buf_printf((pen)->text, &(pen)->ignored, __VA_ARGS__))

static const struct graph_end *own_end(const struct side *side, size_t i)
{
	return side->is_source ? &side->edges[i]->source : &side->edges[i]->target;
}

static const struct graph_end *other_end(const struct side *side, size_t i)
{
	return side->is_source ? &side->edges[i]->target : &side->edges[i]->source;
}

static size_t longer(size_t width, const char *text)
{
	size_t len = strlen(text);

	return len > width ? len : width;
}

static void collect(const struct graph *graph, size_t app, struct side *side)
{
	side->edges = mem_array(graph->n_edges + 1, sizeof(struct graph_edge *));
	for (size_t i = 0; i < graph->n_edges; i++) {
		side->edges[side->n] = &graph->edges[i];
		if (own_end(side, side->n)->object != app)
			continue;
		side->port_width = longer(side->port_width, own_end(side, side->n)->port);
		side->label_width = longer(side->label_width, other_end(side, side->n)->id);
		side->n++;
	}
}

static void fill(struct pen *pen, char with, size_t n)
{
	while (n-- > 0)
		DRAW(pen, "%c", with);
}

/* "(patients)  --input-->" */
static void draw_input(struct pen *pen, const struct side *side, size_t row)
{
	const char *port;

	if (row >= side->n) {
		fill(pen, ' ', side->n ? side->label_width + side->port_width + 9 : 0);
		return;
	}
	port = own_end(side, row)->port;
	DRAW(pen, "(%s)%*s --%s", other_end(side, row)->id,
		(int)(side->label_width - strlen(other_end(side, row)->id)), "", port);
	fill(pen, '-', side->port_width - strlen(port) + 1);
	DRAW(pen, "-> ");
}

static void draw_output(struct pen *pen, const struct side *side, size_t row)
{
	const char *port;

	if (row >= side->n)
		return;
	port = own_end(side, row)->port;
	DRAW(pen, " --%s", port);
	fill(pen, '-', side->port_width - strlen(port) + 1);
	DRAW(pen, "-> (%s)", other_end(side, row)->id);
}

static void draw_border(struct pen *pen, const struct side *ins, size_t width)
{
	draw_input(pen, ins, ins->n);
	DRAW(pen, "+");
	fill(pen, '-', width);
	DRAW(pen, "+\n");
}

static void draw_app(struct pen *pen, size_t app)
{
	const char *id = pen->graph->objects[app].id;
	struct side ins = { .is_source = false }, outs = { .is_source = true };
	size_t width = strlen(id) + 4, rows;

	collect(pen->graph, app, &ins);
	collect(pen->graph, app, &outs);
	rows = ins.n > outs.n ? ins.n : outs.n;
	rows += rows == 0;
	draw_border(pen, &ins, width);
	for (size_t row = 0; row < rows; row++) {
		draw_input(pen, &ins, row);
		DRAW(pen, "|  %*s  |", (int)(width - 4), row == rows / 2 ? id : "");
		draw_output(pen, &outs, row);
		DRAW(pen, "\n");
	}
	draw_border(pen, &ins, width);
	free(ins.edges);
	free(outs.edges);
}

static void draw_legend(struct pen *pen, const struct graph_object *object)
{
	static const char *const kinds[] = { "placeholder", "dataset", "application" };
	auto_free char *name = ui_plain(object->name);

	DRAW(pen, "%s: \"%s\", %s %s%s%s\n", object->id, name, kinds[object->kind],
		object->ref			  ? object->ref
		: object->stands_for == GRAPH_APP ? "(application)"
						  : "(dataset)",
		object->config ? " with " : "", object->config ? object->config : "");
}

static void draw_edges(struct pen *pen)
{
	for (size_t i = 0; i < pen->graph->n_edges; i++) {
		const struct graph_edge *edge = &pen->graph->edges[i];

		DRAW(pen, "%s.%s -> %s.%s\n", edge->source.id, edge->source.port, edge->target.id,
			edge->target.port);
	}
}

char *graph_picture(const struct graph *graph)
{
	auto_buf text = BUF_INIT(MAX_TEXT);
	struct pen pen = { &text, { .kind = ERR_NONE }, graph };

	for (size_t i = 0; i < graph->n_objects && graph->n_objects <= MAX_DRAWN; i++)
		if (graph->objects[i].stands_for == GRAPH_APP)
			draw_app(&pen, i);
	if (graph->n_objects > MAX_DRAWN)
		draw_edges(&pen);
	for (size_t i = 0; i < graph->n_objects; i++)
		draw_legend(&pen, &graph->objects[i]);
	return mem_strdup(text.data ? (char *)text.data : "");
}
