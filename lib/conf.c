/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration by table (conf.h). Values are gathered as texts, one per row: default, then file,
 * then environment. All are checked before the first is stored, so a refused configuration leaves
 * nothing behind.
 */
#include "lib/conf.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/mem.h"

#define MAX_FILE_BYTES (256u * 1024u)
#define MAX_ITEMS 128u

struct unit {
	const char *suffix;
	long factor;
};

static const struct unit count_units[] = { { "", 1 }, { NULL, 0 } };
static const struct unit size_units[] = { { "", 1 }, { "k", 1024 }, { "m", 1024L * 1024 },
	{ "g", 1024L * 1024 * 1024 }, { NULL, 0 } };
static const struct unit ms_units[] = { { "", 1 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
	{ "h", 3600000 }, { NULL, 0 } };

/* The texts of the rows of `items`, by index, and where the file set them. */
struct values {
	const struct conf_item *items;
	size_t count;
	char *text[MAX_ITEMS];
	int line[MAX_ITEMS];
};

static void values_cleanup(struct values *values)
{
	for (size_t i = 0; i < values->count; i++)
		free(values->text[i]);
}

static int parse_number(
	const char *text, const struct unit *units, long *ret_number, struct err *err)
{
	char *end;
	long number;

	if (!isdigit((unsigned char)*text))
		return err_set(err, ERR_INVALID, "conf.value", "'%s' is not a number", text);
	errno = 0;
	number = strtol(text, &end, 10);
	for (; units->suffix; units++) {
		if (strcmp(end, units->suffix) != 0)
			continue;
		if (errno == ERANGE || number > LONG_MAX / units->factor)
			return err_set(err, ERR_INVALID, "conf.value", "'%s' is too large", text);
		*ret_number = number * units->factor;
		return 0;
	}
	return err_set(err, ERR_INVALID, "conf.value", "'%s' has an unknown unit", text);
}

static const struct unit *units_of(enum conf_type type)
{
	switch (type) {
	case CONF_SIZE:
		return size_units;
	case CONF_MS:
		return ms_units;
	case CONF_COUNT:
	case CONF_TEXT:
	case CONF_BOOL:
		break;
	}
	return count_units;
}

static int parse_bool(const char *text, bool *ret_value, struct err *err)
{
	bool is_true = strcmp(text, "true") == 0;

	if (!is_true && strcmp(text, "false") != 0)
		return err_set(
			err, ERR_INVALID, "conf.value", "'%s' is neither true nor false", text);
	*ret_value = is_true;
	return 0;
}

static int check(const struct conf_item *item, const char *text, struct err *err)
{
	long number;
	bool flag;

	if (item->type == CONF_TEXT)
		return 0;
	if (item->type == CONF_BOOL)
		return parse_bool(text, &flag, err);
	return parse_number(text, units_of(item->type), &number, err);
}

/* Only after check(): cannot fail. */
static void store(const struct conf_item *item, char **text, void *config)
{
	void *target = (char *)config + item->offset;

	if (item->type == CONF_TEXT)
		*(char **)target = take_ptr(*text);
	else if (item->type == CONF_BOOL)
		parse_bool(*text, target, NULL);
	else
		parse_number(*text, units_of(item->type), target, NULL);
}

static char *trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r", text[len - 1]))
		text[--len] = '\0';
	return text;
}

static int find(const struct values *values, const char *key)
{
	for (size_t i = 0; i < values->count; i++) {
		if (strcmp(values->items[i].key, key) == 0)
			return (int)i;
	}
	return -1;
}

/* Space around it does not count, wherever it comes from. */
static void replace(struct values *values, size_t i, const char *text)
{
	auto_free char *copy = mem_strdup(text);

	free(values->text[i]);
	values->text[i] = mem_strdup(trim(copy));
}

static int take_line(struct values *values, char *text, int line, struct err *err)
{
	char *key = trim(text), *equals = strchr(key, '=');
	int i;

	if (*key == '\0' || *key == '#')
		return 0;
	if (!equals)
		return err_set(err, ERR_INVALID, "conf.syntax", "line %d: not 'key = value'", line);
	*equals = '\0';
	key = trim(key);
	i = find(values, key);
	if (i < 0)
		return err_set(err, ERR_INVALID, "conf.unknown_key", "line %d: unknown key '%s'",
			line, key);
	if (values->line[i])
		return err_set(err, ERR_INVALID, "conf.syntax",
			"line %d: key '%s' was given in line %d", line, key, values->line[i]);
	values->line[i] = line;
	replace(values, (size_t)i, equals + 1);
	return 0;
}

static int read_file(struct values *values, const char *path, struct err *err)
{
	auto_buf file = BUF_INIT(MAX_FILE_BYTES);
	char *rest, *text;
	int line = 0;

	if (buf_read_file(&file, path, err) < 0)
		return -1;
	if (file.len == 0)
		return 0;
	if (strlen((char *)file.data) != file.len)
		return err_set(err, ERR_INVALID, "conf.syntax", "'%s' contains NUL", path);
	rest = (char *)file.data;
	while ((text = strsep(&rest, "\n"))) {
		if (take_line(values, text, ++line, err) < 0)
			return err_wrap(err, "'%s'", path);
	}
	return 0;
}

static void read_environment(struct values *values)
{
	for (size_t i = 0; i < values->count; i++) {
		auto_free char *name = mem_printf("STRONGROOM_%s", values->items[i].key);
		const char *text;

		for (char *c = name; *c; c++)
			*c = *c == '.' || *c == '-' ? '_' : (char)toupper((unsigned char)*c);
		text = getenv(name);
		if (text)
			replace(values, i, text);
	}
}

static int check_all(const struct values *values, struct err *err)
{
	for (size_t i = 0; i < values->count; i++) {
		const struct conf_item *item = &values->items[i];

		if (!values->text[i])
			return err_set(err, ERR_INVALID, "conf.missing",
				"key '%s' must be given: %s", item->key, item->help);
		if (check(item, values->text[i], err) < 0)
			return err_wrap(err, "key '%s'", item->key);
	}
	return 0;
}

int conf_load(const struct conf_item *items, void *config, const char *path, struct err *err)
{
	__attribute__((cleanup(values_cleanup))) struct values values = { .items = items };

	for (; items[values.count].key; values.count++) {
		if (values.count == MAX_ITEMS)
			abort();
		if (items[values.count].fallback)
			values.text[values.count] = mem_strdup(items[values.count].fallback);
	}
	if (path && read_file(&values, path, err) < 0)
		return -1;
	read_environment(&values);
	if (check_all(&values, err) < 0)
		return -1;
	for (size_t i = 0; i < values.count; i++)
		store(&items[i], &values.text[i], config);
	return 0;
}

static void print_value(const struct conf_item *item, const void *value, FILE *out)
{
	if (item->type == CONF_TEXT)
		fprintf(out, "%s\n", *(char *const *)value ? *(char *const *)value : "");
	else if (item->type == CONF_BOOL)
		fprintf(out, "%s\n", *(const bool *)value ? "true" : "false");
	else
		fprintf(out, "%ld%s\n", *(const long *)value, item->type == CONF_MS ? "ms" : "");
}

void conf_print(const struct conf_item *items, const void *config, FILE *out)
{
	for (; items->key; items++) {
		const bool is_needed = !config && !items->fallback;

		fprintf(out, "# %s%s\n%s = ", items->help, is_needed ? " (must be given)" : "",
			items->key);
		if (config)
			print_value(items, (const char *)config + items->offset, out);
		else
			fprintf(out, "%s\n", is_needed ? "" : items->fallback);
	}
}

void conf_release(const struct conf_item *items, void *config)
{
	for (; items->key; items++) {
		char **value = (char **)((char *)config + items->offset);

		if (items->type == CONF_TEXT) {
			free(*value);
			*value = NULL;
		}
	}
}
