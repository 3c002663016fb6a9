/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of graph_file.h: both spellings become one tree, and that the graph. */
#include "client/graph_file.h"

#include <stdlib.h>
#include <string.h>

#include "client/yaml_flat.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_FILE (16u << 20)

static int invalid(struct err *err, const char *where, const char *what)
{
	return err_set(err, ERR_INVALID, "graph_file.invalid", "'%s' %s", where, what);
}

/* --- YAML as a tree --- */

/* The member of that name, made when it is not there. */
static json_t *descend(json_t *object, const char *name, size_t len)
{
	auto_free char *key = mem_strndup(name, len);
	json_t *child = json_object_get(object, key);

	if (!json_is_object(child)) {
		child = json_object();
		json_object_set_new(object, key, child);
	}
	return child;
}

static json_t *scalar(const char *path, const char *text)
{
	char *end;
	long long number = strtoll(text, &end, 10);

	if (strncmp(path, "positions.", 10) == 0 && *text && !*end)
		return json_integer((json_int_t)number);
	return json_string(text);
}

static json_t *tree_of(const struct yaml_flat *flat)
{
	json_t *tree = json_object();

	for (size_t i = 0; i < flat->n_values; i++) {
		const char *at = flat->values[i].path, *text = flat->values[i].text, *dot;
		json_t *object = tree, *value = scalar(at, text);

		for (; (dot = strchr(at, '.')); at = dot + 1)
			object = descend(object, at, (size_t)(dot - at));
		if (value && *at)
			json_object_set_new(object, at, value);
		else
			json_decref(value);
	}
	return tree;
}

static int read_tree(const char *path, json_t **ret_tree, struct err *err)
{
	const char *file = strcmp(path, "-") == 0 ? "/dev/stdin" : path;
	auto_buf text = BUF_INIT(MAX_FILE);
	struct yaml_flat flat = { 0 };
	size_t start;

	if (buf_read_file(&text, file, err) < 0)
		return -1;
	start = text.data ? strspn((char *)text.data, " \t\r\n") : 0;
	if (text.data && text.data[start] == '{') {
		*ret_tree = json_parse((char *)text.data, text.len, err);
		return *ret_tree ? 0 : -1;
	}
	if (yaml_flat_parse(text.data ? (char *)text.data : "", text.len, path, &flat, err) < 0)
		return -1;
	*ret_tree = tree_of(&flat);
	yaml_flat_release(&flat);
	return 0;
}

/* --- names as ids --- */

static int resolve(struct session *session, const struct collection *kind, const char *called,
	char **ret_id, struct err *err)
{
	auto_json json_t *record = NULL;

	if (id_is(called, kind->prefix)) {
		*ret_id = mem_strdup(called);
		return 0;
	}
	if (!session)
		return invalid(err, called, "is a name, and without a server only ids are known");
	if (session_find(session, kind, called, &record, err) < 0)
		return err_wrap(err, "'%s'", called);
	*ret_id = mem_strdup(json_text(record, "id"));
	return 0;
}

static int read_dataset(
	struct session *session, const char *called, json_t **ret_ref, struct err *err)
{
	auto_free char *id = NULL;

	if (resolve(session, &collection_datasets, called, &id, err) < 0)
		return -1;
	*ret_ref = json_pack("{s:{s:s}}", "dataset", "dataset_id", id);
	return 0;
}

static int read_app(struct session *session, const char *called, const char *config,
	json_t **ret_ref, struct err *err)
{
	auto_free char *id = NULL, *config_id = NULL;

	if (resolve(session, &collection_apps, called, &id, err) < 0 ||
		(config && resolve(session, &collection_app_configs, config, &config_id, err) < 0))
		return -1;
	*ret_ref = json_pack("{s:{s:s,s:s?}}", "app", "app_id", id, "config_id", config_id);
	return 0;
}

static int read_ref(struct session *session, const char *id, const json_t *object, json_t **ret_ref,
	struct err *err)
{
	const char *dataset = json_text(object, "dataset"), *app = json_text(object, "app"),
		   *placeholder = json_text(object, "placeholder");

	if (!!dataset + !!app + !!placeholder != 1)
		return invalid(err, id, "is one of dataset, app, placeholder");
	if (dataset)
		return read_dataset(session, dataset, ret_ref, err);
	if (app)
		return read_app(session, app, json_text(object, "config"), ret_ref, err);
	*ret_ref = json_pack("{s:{s:s}}", "placeholder", "kind", placeholder);
	return 0;
}

static int check_members(
	const json_t *object, const char *const *known, const char *where, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)object, name, value) {
		size_t i = 0;

		while (known[i] && strcmp(known[i], name) != 0)
			i++;
		if (!known[i])
			return err_set(err, ERR_INVALID, "graph_file.invalid",
				"'%s' is not known in '%s'", name, where);
	}
	return 0;
}

static int read_objects(
	struct session *session, const json_t *objects, json_t *ret_objects, struct err *err)
{
	static const char *const known[] = { "name", "description", "dataset", "app", "config",
		"placeholder", NULL };
	const char *id;
	json_t *object;

	json_object_foreach ((json_t *)objects, id, object) {
		const char *name = json_text(object, "name");
		json_t *ref = NULL;

		if (check_members(object, known, id, err) < 0 ||
			read_ref(session, id, object, &ref, err) < 0)
			return -1;
		json_object_set_new(ret_objects, id,
			json_pack("{s:s,s:s?,s:o}", "name", name ? name : id, "description",
				json_text(object, "description"), "ref", ref));
	}
	return 0;
}

/* --- edges --- */

/* "patients.output", or the object alone, whose port is then the usual one. */
static json_t *read_end(const char *text, size_t len, const char *port)
{
	auto_free char *word = NULL;
	char *dot;

	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	while (len > 0 && (*text == ' ' || *text == '\t')) {
		text++;
		len--;
	}
	word = mem_strndup(text, len);
	dot = strchr(word, '.');
	if (dot)
		*dot = '\0';
	return json_pack("{s:s,s:s}", "id", word, "port", dot ? dot + 1 : port);
}

static int read_edges(const json_t *edges, json_t *ret_edges, struct err *err)
{
	void *iter = json_object_iter((json_t *)edges);
	size_t i = 0, n = json_is_array(edges) ? json_array_size(edges) : json_object_size(edges);

	for (; i < n; i++) {
		auto_free char *id = mem_printf("e%zu", i + 1);
		const json_t *edge = json_is_array(edges) ? json_array_get(edges, i)
							  : json_object_iter_value(iter);
		const char *text = json_string_value(edge),
			   *arrow = text ? strstr(text, "->") : NULL;

		if (!arrow)
			return invalid(err, text ? text : id, "is no edge: write A.port -> B.port");
		json_object_set_new(ret_edges, id,
			json_pack("{s:o,s:o}", "source",
				read_end(text, (size_t)(arrow - text), "output"), "target",
				read_end(arrow + 2, strlen(arrow + 2), "input")));
		if (iter)
			iter = json_object_iter_next((json_t *)edges, iter);
	}
	return 0;
}

static int read_graph(
	struct session *session, const json_t *tree, json_t **ret_graph, struct err *err)
{
	static const char *const known[] = { "name", "space", "description", "objects", "edges",
		"positions", NULL };
	auto_json json_t *objects = json_object(), *edges = json_object();
	json_t *positions = json_object_get(tree, "positions");

	if (check_members(tree, known, "the file", err) < 0 ||
		read_objects(session, json_object_get(tree, "objects"), objects, err) < 0 ||
		read_edges(json_object_get(tree, "edges"), edges, err) < 0)
		return -1;
	*ret_graph = json_pack("{s:s,s:O,s:O,s:o}", "v", "strongroom-graph-1", "objects", objects,
		"edges", edges, "positions",
		json_is_object(positions) ? json_incref(positions) : json_object());
	return 0;
}

static char *text_of(const json_t *tree, const char *name)
{
	const char *text = json_text(tree, name);

	return text ? mem_strdup(text) : NULL;
}

int graph_file_read(
	struct session *session, const char *path, struct graph_file *ret_file, struct err *err)
{
	auto_json json_t *tree = NULL;
	struct graph_file file = { .graph = NULL };
	const char *space;

	if (read_tree(path, &tree, err) < 0)
		return -1;
	if (json_object_get(tree, "v")) {
		*ret_file = (struct graph_file) { .graph = take_ptr(tree) };
		return 0;
	}
	space = json_text(tree, "space");
	if (space && session &&
		resolve(session, &collection_spaces, space, &file.space_id, err) < 0)
		return -1;
	if (read_graph(session, tree, &file.graph, err) < 0) {
		graph_file_release(&file);
		return -1;
	}
	file.name = text_of(tree, "name");
	file.description = text_of(tree, "description");
	*ret_file = file;
	return 0;
}

void graph_file_release(struct graph_file *file)
{
	json_decref(file->graph);
	free(file->name);
	free(file->space_id);
	free(file->description);
	*file = (struct graph_file) { .graph = NULL };
}
