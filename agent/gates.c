/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the list that is going to be packed; nobody writes in that folder any more. */
#include "agent/gates.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/outpack_tree.h"
#include "lib/json.h"
#include "lib/mem.h"

#define BLOCK 65536
#define NOTHING (-1)

struct gates {
	long long max_bytes, max_files, minimum_rows; /* NOTHING where the policy says null */
	const json_t *file_types;		      /* NULL: any */
};

static long long number(const json_t *gates, const char *name)
{
	const json_t *value = json_object_get(gates, name);

	return json_is_integer(value) ? json_integer_value(value) : NOTHING;
}

static struct gates read_gates(const json_t *gates)
{
	const json_t *types = json_object_get(gates, "file_types");

	return (struct gates) { .max_bytes = number(gates, "max_bytes"),
		.max_files = number(gates, "max_files"),
		.minimum_rows = number(gates, "minimum_rows"),
		.file_types = json_is_array(types) ? types : NULL };
}

bool gates_stand(const json_t *gates)
{
	struct gates read = read_gates(gates);

	return read.max_bytes != NOTHING || read.max_files != NOTHING ||
	       read.minimum_rows != NOTHING || read.file_types;
}

static int closed(struct err *err, const char *code, const char *why)
{
	return err_set(err, ERR_UNPROCESSABLE, code, "the output %s", why);
}

/* --- rows --- */

struct counter {
	long long rows;
	bool is_quoted, is_begun; /* inside quotes; behind the first byte of a row */
};

/* A newline ends a row unless it is quoted; an empty line is none. */
static void count_rows(struct counter *counter, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '"')
			counter->is_quoted = !counter->is_quoted;
		if (data[i] == '\n' && !counter->is_quoted) {
			counter->rows += counter->is_begun;
			counter->is_begun = false;
		} else if (data[i] != '\r') {
			counter->is_begun = true;
		}
	}
}

static int rows_of(const struct outpack_tree *tree, const struct outpack_entry *entry,
	long long *ret_rows, struct err *err)
{
	auto_free char *data = mem_alloc(BLOCK);
	struct counter counter = { 0 };
	auto_fd int fd = outpack_tree_open(tree, entry, err);
	ssize_t got;

	if (fd < 0)
		return -1;
	while ((got = read(fd, data, BLOCK)) > 0)
		count_rows(&counter, data, (size_t)got);
	if (got < 0)
		return err_errno(err, "read an output file");
	counter.rows += counter.is_begun;
	*ret_rows = counter.rows > 0 ? counter.rows - 1 : 0; /* the header */
	return 0;
}

/* --- files --- */

/* What is behind the last dot of the name; "" without one. */
static const char *type_of(const char *path)
{
	const char *name = strrchr(path, '/'), *dot;

	name = name ? name + 1 : path;
	dot = strrchr(name, '.');
	return dot && dot != name ? dot + 1 : "";
}

static bool is_allowed(const json_t *types, const char *type)
{
	json_t *allowed;
	size_t i;

	json_array_foreach (types, i, allowed) {
		if (strcasecmp(json_string_value(allowed), type) == 0)
			return true;
	}
	return false;
}

static int check_file(const struct gates *gates, const struct outpack_tree *tree,
	const struct outpack_entry *entry, struct err *err)
{
	const char *type = type_of(entry->path);
	long long rows = 0;

	if (gates->file_types && !is_allowed(gates->file_types, type))
		return closed(err, "output.gate_type",
			"has a file of a type that the policy does not let through");
	if (gates->minimum_rows == NOTHING)
		return 0;
	if (strcasecmp(type, "csv") != 0 && strcasecmp(type, "tsv") != 0)
		return closed(err, "output.gate_rows",
			"has a file whose rows cannot be counted: only csv and tsv have some");
	if (rows_of(tree, entry, &rows, err) < 0)
		return -1;
	return rows >= gates->minimum_rows
		       ? 0
		       : closed(err, "output.gate_rows",
				 "has a table of fewer rows than the policy asks for");
}

static int check_files(const struct gates *gates, const struct outpack_tree *tree, long long bytes,
	struct err *err)
{
	long long files = 0;

	for (size_t i = 0; i < tree->count; i++) {
		const struct outpack_entry *entry = &tree->entries[i];

		if (entry->skip)
			continue;
		files++;
		if (!S_ISREG(entry->st.st_mode))
			continue;
		bytes += entry->st.st_size;
		if (check_file(gates, tree, entry, err) < 0)
			return -1;
	}
	if (gates->max_files != NOTHING && files > gates->max_files)
		return closed(
			err, "output.gate_files", "has more files than the policy lets through");
	if (gates->max_bytes != NOTHING && bytes > gates->max_bytes)
		return closed(
			err, "output.gate_bytes", "has more bytes than the policy lets through");
	return 0;
}

int gates_check(const json_t *doc, struct outpack_conf *conf, struct err *err)
{
	const struct gates gates = read_gates(doc);
	struct outpack_tree tree;
	int rc;

	if (!gates_stand(doc))
		return 0;
	if (gates.minimum_rows != NOTHING ||
		(gates.file_types && !is_allowed(gates.file_types, "txt")))
		conf->stdout_len = conf->stderr_len = 0;
	if (outpack_tree_read(conf->output_dir, conf->max_files, conf->max_bytes, &tree, err) < 0)
		return -1;
	rc = check_files(
		&gates, &tree, (long long)conf->stdout_len + (long long)conf->stderr_len, err);
	outpack_tree_release(&tree);
	return rc;
}
