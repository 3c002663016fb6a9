/* SPDX-License-Identifier: Apache-2.0 */
/* Flattening of YAML on libyaml's events: they carry the places that messages need. */
#include "client/yaml_flat.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "lib/buf.h"
#include "lib/mem.h"

#define MAX_DEPTH 8
#define MAX_VALUES 4096
#define MAX_FILE (1024u * 1024u)

struct reader {
	yaml_parser_t parser;
	const char *name;
	struct yaml_flat *flat;
	struct err *err;
};

static int refuse(struct reader *reader, yaml_mark_t mark, const char *what)
{
	return err_set(reader->err, ERR_INVALID, "plan.syntax", "%s:%zu:%zu: %s", reader->name,
		mark.line + 1, mark.column + 1, what);
}

static int next(struct reader *reader, yaml_event_t *ret_event)
{
	if (!yaml_parser_parse(&reader->parser, ret_event))
		return refuse(reader, reader->parser.problem_mark,
			reader->parser.problem ? reader->parser.problem : "not YAML");
	if (ret_event->type == YAML_ALIAS_EVENT) {
		refuse(reader, ret_event->start_mark, "aliases are not allowed");
		yaml_event_delete(ret_event);
		return -1;
	}
	return 0;
}

static int add_value(struct reader *reader, const char *path, const char *text, yaml_mark_t mark)
{
	struct yaml_flat *flat = reader->flat;

	if (flat->n_values >= MAX_VALUES)
		return refuse(reader, mark, "too many values");
	flat->values = mem_grow(flat->values, flat->n_values + 1, sizeof(*flat->values));
	flat->values[flat->n_values++] = (struct yaml_value) {
		.path = mem_strdup(path),
		.text = mem_strdup(text),
		.line = (unsigned)mark.line + 1,
		.column = (unsigned)mark.column + 1,
	};
	return 0;
}

static int read_node(struct reader *reader, const yaml_event_t *event, const char *path, int depth);

static char *join(const char *path, const char *name)
{
	return mem_printf("%s%s%s", path, *path ? "." : "", name);
}

static int read_child(struct reader *reader, const char *path, int depth)
{
	yaml_event_t event;
	int result;

	if (next(reader, &event) < 0)
		return -1;
	result = read_node(reader, &event, path, depth);
	yaml_event_delete(&event);
	return result;
}

static int read_sequence(struct reader *reader, const char *path, int depth)
{
	for (unsigned i = 0;; i++) {
		auto_free char *number = mem_printf("%u", i);
		auto_free char *below = join(path, number);
		yaml_event_t event;
		bool is_end;
		int result;

		if (next(reader, &event) < 0)
			return -1;
		is_end = event.type == YAML_SEQUENCE_END_EVENT;
		result = is_end ? 0 : read_node(reader, &event, below, depth + 1);
		yaml_event_delete(&event);
		if (result < 0 || is_end)
			return result;
	}
}

/* Behind "{ {": the key `var "field"`, its empty value, "}", an empty value, "}". */
static int read_bare_reference(struct reader *reader, const char *path, yaml_mark_t mark)
{
	static const yaml_event_type_t shape[] = { YAML_SCALAR_EVENT, YAML_SCALAR_EVENT,
		YAML_MAPPING_END_EVENT, YAML_SCALAR_EVENT, YAML_MAPPING_END_EVENT };
	auto_free char *text = NULL;

	for (size_t i = 0; i < ARRAY_LEN(shape); i++) {
		yaml_event_t event;
		bool fits;

		if (next(reader, &event) < 0)
			return -1;
		fits = event.type == shape[i] &&
		       (i == 0 || event.type != YAML_SCALAR_EVENT || event.data.scalar.length == 0);
		if (fits && i == 0)
			text = mem_printf("{{ %s }}", (const char *)event.data.scalar.value);
		yaml_event_delete(&event);
		if (!fits)
			return refuse(reader, mark, "a mapping cannot be a key");
	}
	return add_value(reader, path, text, mark);
}

static int read_mapping(struct reader *reader, const char *path, int depth)
{
	for (bool is_first = true;; is_first = false) {
		auto_free char *below = NULL;
		yaml_event_t key;
		yaml_event_type_t type;
		yaml_mark_t mark;

		if (next(reader, &key) < 0)
			return -1;
		type = key.type;
		mark = key.start_mark;
		if (type == YAML_SCALAR_EVENT)
			below = join(path, (const char *)key.data.scalar.value);
		yaml_event_delete(&key);
		if (type == YAML_MAPPING_END_EVENT)
			return is_first ? add_value(reader, path, "", mark) : 0;
		if (type == YAML_MAPPING_START_EVENT)
			return read_bare_reference(reader, path, mark);
		if (!below)
			return refuse(reader, mark, "a key must be a text");
		if (read_child(reader, below, depth + 1) < 0)
			return -1;
	}
}

static int read_node(struct reader *reader, const yaml_event_t *event, const char *path, int depth)
{
	if (depth > MAX_DEPTH)
		return refuse(reader, event->start_mark, "nested too deeply");
	switch ((int)event->type) {
	case YAML_SCALAR_EVENT:
		if (event->data.scalar.anchor ||
			strlen((char *)event->data.scalar.value) != event->data.scalar.length)
			return refuse(reader, event->start_mark, "anchors and NUL are not allowed");
		return add_value(reader, path, (char *)event->data.scalar.value, event->start_mark);
	case YAML_SEQUENCE_START_EVENT:
		return read_sequence(reader, path, depth);
	case YAML_MAPPING_START_EVENT:
		return read_mapping(reader, path, depth);
	default:
		return refuse(reader, event->start_mark, "unexpected");
	}
}

static int read_document(struct reader *reader)
{
	for (bool is_first = true;;) {
		yaml_event_t event;
		yaml_event_type_t type;
		yaml_mark_t mark;
		int result = 0;

		if (next(reader, &event) < 0)
			return -1;
		type = event.type;
		mark = event.start_mark;
		if (type == YAML_DOCUMENT_START_EVENT && is_first)
			result = read_child(reader, "", 0);
		else if (type == YAML_DOCUMENT_START_EVENT)
			result = refuse(reader, mark, "only one document is allowed");
		if (type == YAML_DOCUMENT_START_EVENT)
			is_first = false;
		yaml_event_delete(&event);
		if (result < 0 || type == YAML_STREAM_END_EVENT)
			return result;
	}
}

int yaml_flat_parse(
	const char *text, size_t len, const char *name, struct yaml_flat *ret_flat, struct err *err)
{
	struct yaml_flat flat = { 0 };
	struct reader reader = { .name = name, .flat = &flat, .err = err };
	int result;

	if (!yaml_parser_initialize(&reader.parser))
		return err_set(err, ERR_INTERNAL, "internal.yaml", "cannot start the YAML parser");
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
	result = read_document(&reader);
	yaml_parser_delete(&reader.parser);
	if (result < 0)
		yaml_flat_release(&flat);
	else
		*ret_flat = flat;
	return result;
}

int yaml_flat_read(const char *path, struct yaml_flat *ret_flat, struct err *err)
{
	auto_buf text = BUF_INIT(MAX_FILE);

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	return yaml_flat_parse(text.data ? (char *)text.data : "", text.len, path, ret_flat, err);
}

const char *yaml_flat_text(const struct yaml_flat *flat, const char *path)
{
	for (size_t i = 0; i < flat->n_values; i++) {
		if (strcmp(flat->values[i].path, path) == 0)
			return *flat->values[i].text ? flat->values[i].text : NULL;
	}
	return NULL;
}

void yaml_flat_release(struct yaml_flat *flat)
{
	for (size_t i = 0; i < flat->n_values; i++) {
		free(flat->values[i].path);
		free(flat->values[i].text);
	}
	free(flat->values);
	*flat = (struct yaml_flat) { 0 };
}
