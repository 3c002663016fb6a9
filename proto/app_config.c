/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table says both what a runtime may hold and in which order its members are hashed. The hash
 * is known to the byte from others' answers (vectors appconfig-id), so the order of maps here is
 * that of bytes and not RFC 8785's.
 */
#include "proto/app_config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"

#define MAX_LABELS 64
#define MAX_NAME 256
#define MAX_LABEL_VALUE 1024
#define MAX_ZONE_CAS 16
#define MAX_PEM 16384
#define MAX_PORTS 16
#define MAX_CONNECTIONS 64
#define MAX_ENCODED (4u * ((APP_CONFIG_MAX_FILE + 2) / 3))

/* --- shape --- */

static bool is_name(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= MAX_NAME;
}

#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}
#define NAME(n, ...)                                                                               \
	{                                                                                          \
		.name = (n), .kind = RULE_TEXT, .is = is_name, __VA_ARGS__                         \
	}
#define OPTIONAL_NAME(n) NAME(n, .optional = true)
#define MAP(n, high, rule)                                                                         \
	{                                                                                          \
		.name = (n), .kind = RULE_MAP, .max = (high), .is = is_name, .of = (rule)          \
	}

static const struct rule CONTENTS[] = {
	{ .name = "contents", .kind = RULE_TEXT, .max = MAX_ENCODED },
	END,
};
static const struct rule ONE_FILE = { .name = "", .kind = RULE_OBJECT, .of = CONTENTS };
static const struct rule FILES = MAP("app_config", APP_CONFIG_MAX_FILES, &ONE_FILE);

static const struct rule LABEL = { .name = "", .kind = RULE_TEXT, .max = MAX_LABEL_VALUE };

static const struct rule PEM = { .name = "", .kind = RULE_TEXT, .min = 1, .max = MAX_PEM };

static const struct rule DATASET[] = {
	NAME("id"),
	OPTIONAL_NAME("acct_id"),
	OPTIONAL_NAME("group_id"),
	END,
};
static const struct rule APPLICATION[] = {
	OPTIONAL_NAME("acct_id"),
	OPTIONAL_NAME("group_id"),
	END,
};
static const struct rule CONNECTION[] = {
	{ .name = "dataset", .kind = RULE_OBJECT, .of = DATASET, .optional = true },
	{ .name = "application", .kind = RULE_OBJECT, .of = APPLICATION, .optional = true },
	END,
};
static const struct rule ONE_CONNECTION = { .name = "", .kind = RULE_OBJECT, .of = CONNECTION };
static const struct rule PORT = MAP("", MAX_CONNECTIONS, &ONE_CONNECTION);

static const struct rule WORKFLOW[] = {
	NAME("workflow_id"),
	NAME("app_name"),
	MAP("port_map", MAX_PORTS, &PORT),
	OPTIONAL_NAME("app_acct_id"),
	OPTIONAL_NAME("app_group_id"),
	END,
};

static const struct rule RUNTIME[] = {
	MAP("app_config", APP_CONFIG_MAX_FILES, &ONE_FILE),
	MAP("labels", MAX_LABELS, &LABEL),
	{ .name = "zone_ca", .kind = RULE_SET, .max = MAX_ZONE_CAS, .of = &PEM },
	{ .name = "workflow", .kind = RULE_OBJECT, .of = WORKFLOW, .optional = true },
	END,
};
static const struct rule ONE_RUNTIME = { .name = "", .kind = RULE_OBJECT, .of = RUNTIME };

/* --- the order that is hashed --- */

static int by_bytes(const void *left, const void *right)
{
	const char *const *a = left, *const *b = right;

	return strcmp(*a, *b);
}

static json_t *ordered(const struct rule *rule, const json_t *value);

static json_t *ordered_object(const struct rule *members, const json_t *object)
{
	json_t *copy = json_object();

	for (; members->name; members++) {
		const json_t *value = json_object_get(object, members->name);

		if (value)
			json_object_set_new(copy, members->name, ordered(members, value));
	}
	return copy;
}

static json_t *ordered_map(const struct rule *rule, const json_t *map)
{
	size_t count = 0;
	auto_free const char **names = mem_array(json_object_size(map) + 1, sizeof(*names));
	json_t *copy = json_object(), *value;
	const char *name;

	json_object_foreach ((json_t *)map, name, value)
		names[count++] = name;
	qsort(names, count, sizeof(*names), by_bytes);
	for (size_t i = 0; i < count; i++)
		json_object_set_new(
			copy, names[i], ordered(rule->of, json_object_get(map, names[i])));
	return copy;
}

static json_t *ordered_set(const json_t *set)
{
	size_t count = json_array_size(set);
	auto_free const char **texts = mem_array(count + 1, sizeof(*texts));
	json_t *copy = json_array();

	for (size_t i = 0; i < count; i++)
		texts[i] = json_string_value(json_array_get(set, i));
	qsort(texts, count, sizeof(*texts), by_bytes);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(copy, json_string(texts[i]));
	return copy;
}

/* A copy whose members stand in the order in which they are hashed. */
static json_t *ordered(const struct rule *rule, const json_t *value)
{
	if (rule->kind == RULE_OBJECT)
		return ordered_object(rule->of, value);
	if (rule->kind == RULE_MAP)
		return ordered_map(rule, value);
	if (rule->kind == RULE_SET)
		return ordered_set(value);
	return json_incref((json_t *)value);
}

int app_config_id(const json_t *runtime, char ret_id[APP_CONFIG_ID_SIZE], struct err *err)
{
	auto_json json_t *copy = NULL;
	auto_free char *text = NULL;
	unsigned char digest[DIGEST_SIZE];
	size_t len;

	if (rule_check(RUNTIME, runtime, "app_config.invalid", "the runtime", err) < 0)
		return -1;
	copy = ordered(&ONE_RUNTIME, runtime);
	text = json_encode(copy, &len);
	digest_sha256(text, len, digest);
	codec_hex(digest, sizeof(digest), ret_id);
	return 0;
}

/* --- config files --- */

const char *app_config_below_rw(const char *path)
{
	size_t root = strlen(APP_CONFIG_RW "/");

	return strncmp(path, APP_CONFIG_RW "/", root) == 0 && path[root] ? path + root : NULL;
}

static bool is_or_below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* The names that the agent itself writes. */
static bool is_reserved(const char *below)
{
	return is_or_below(below, "input") || is_or_below(below, "output") ||
	       is_or_below(below, "app-config.json");
}

static int bad_path(const char *path, const char *why, struct err *err)
{
	return err_set(err, ERR_INVALID, "app_config.path", "config file '%.150s': %s", path, why);
}

static int check_path(const json_t *files, const char *path, struct err *err)
{
	const char *below = app_config_below_rw(path), *other;
	json_t *value;

	if (!rule_is_path(path))
		return bad_path(path, "not an absolute path without . and ..", err);
	if (!below)
		return bad_path(path, "not below " APP_CONFIG_RW, err);
	if (is_reserved(below))
		return bad_path(path, "this name is kept for ports and app-config.json", err);
	json_object_foreach ((json_t *)files, other, value) {
		if (strcmp(path, other) != 0 && is_or_below(other, path))
			return bad_path(other, "lies below another file", err);
	}
	return 0;
}

static int check_contents(const char *path, const char *text, size_t *total, struct err *err)
{
	auto_free unsigned char *bytes = NULL;
	size_t len = 0;

	if (codec_b64_decode(text, strlen(text), &bytes, &len, NULL) < 0)
		return err_set(err, ERR_INVALID, "app_config.invalid",
			"config file '%.150s': not base64", path);
	*total += len;
	if (len > APP_CONFIG_MAX_FILE || *total > APP_CONFIG_MAX_TOTAL)
		return err_set(err, ERR_INVALID, "app_config.too_large",
			"config file '%.150s': a file has at most %u bytes, all files %u", path,
			APP_CONFIG_MAX_FILE, APP_CONFIG_MAX_TOTAL);
	return 0;
}

int app_config_check_files(const json_t *files, struct err *err)
{
	const struct rule holder[] = { FILES, END };
	auto_json json_t *object = json_pack("{s:O?}", "app_config", files);
	const char *path;
	json_t *file;
	size_t total = 0;

	if (rule_check(holder, object, "app_config.invalid", "config files", err) < 0)
		return -1;
	json_object_foreach ((json_t *)files, path, file) {
		if (check_path(files, path, err) < 0 ||
			check_contents(path, json_text(file, "contents"), &total, err) < 0)
			return -1;
	}
	return 0;
}

int app_config_check(const json_t *runtime, struct err *err)
{
	char id[APP_CONFIG_ID_SIZE];

	if (app_config_id(runtime, id, err) < 0)
		return -1;
	return app_config_check_files(json_object_get(runtime, "app_config"), err);
}
