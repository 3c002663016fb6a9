/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML read as a flat list of scalars with their places: {a: {b: 1}, c: [x]} is "a.b" = "1", "c.0"
 * = "x". Anchors and aliases are refused, depth and size are capped. `{{ var "field" }}`, which
 * YAML takes for two flow mappings when it is not quoted, is read as the text it looks like.
 */
#ifndef STRONGROOM_CLIENT_YAML_FLAT_H
#define STRONGROOM_CLIENT_YAML_FLAT_H

#include <stddef.h>

#include "lib/err.h"

struct yaml_value {
	char *path;
	char *text;
	unsigned line, column; /* from 1 */
};

struct yaml_flat {
	struct yaml_value *values;
	size_t n_values;
};

/* Code plan.syntax with line and column. `name` is for messages. */
int yaml_flat_parse(const char *text, size_t len, const char *name, struct yaml_flat *ret_flat,
	struct err *err) __attribute__((warn_unused_result));
int yaml_flat_read(const char *path, struct yaml_flat *ret_flat, struct err *err)
	__attribute__((warn_unused_result));
const char *yaml_flat_text(
	const struct yaml_flat *flat, const char *path); /* NULL when absent or empty */
void yaml_flat_release(struct yaml_flat *flat);

#endif
