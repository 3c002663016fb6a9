/* SPDX-License-Identifier: Apache-2.0 */
/* Walks a document along the table of rule.h and collects every member that breaks a rule, with its
 * JSON Pointer. */
#include "proto/rule.h"

#include <ctype.h>

#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/id.h"

#define MAX_POINTER 96

struct walk {
	struct err bad;
	unsigned n_bad;
	char pointer[MAX_POINTER];
};

static void check_value(struct walk *walk, const struct rule *rule, const json_t *value);

static void refuse(struct walk *walk, const char *code, const char *detail)
{
	walk->n_bad++;
	err_field(&walk->bad, walk->pointer, code, "%s", detail);
}

/* Goes one member down and returns the length to come back to. A name is escaped as RFC 6901 says.
 */
static size_t enter(struct walk *walk, const char *name)
{
	size_t back = strlen(walk->pointer), len = back;

	if (len + 1 < MAX_POINTER)
		walk->pointer[len++] = '/';
	for (; *name && len + 2 < MAX_POINTER; name++) {
		bool escape = *name == '~' || *name == '/';

		walk->pointer[len++] = escape ? '~' : *name;
		if (escape)
			walk->pointer[len++] = *name == '~' ? '0' : '1';
	}
	walk->pointer[len] = '\0';
	return back;
}

static void leave(struct walk *walk, size_t back)
{
	walk->pointer[back] = '\0';
}

static bool in_range(const struct rule *rule, long long n)
{
	return n >= rule->min && n <= rule->max;
}

static void check_text(struct walk *walk, const struct rule *rule, const json_t *value)
{
	if (!json_is_string(value))
		refuse(walk, "field.type", "must be a text");
	else if (rule->is && !rule->is(json_string_value(value)))
		refuse(walk, "field.value", "does not have the form that is asked for here");
	else if (!rule->is && !in_range(rule, (long long)json_string_length(value)))
		refuse(walk, "field.value", "is too short or too long");
}

static void check_number(struct walk *walk, const struct rule *rule, const json_t *value)
{
	if (!json_is_integer(value))
		refuse(walk, "field.type", "must be an integer");
	else if (!in_range(rule, json_integer_value(value)))
		refuse(walk, "field.value", "is out of range");
}

static const struct rule *find(const struct rule *members, const char *name)
{
	for (; members->name; members++)
		if (strcmp(members->name, name) == 0)
			return members;
	return NULL;
}

static void check_object(struct walk *walk, const struct rule *members, const json_t *object)
{
	const char *name;
	json_t *value;
	size_t back;

	if (!json_is_object(object)) {
		refuse(walk, "field.type", "must be an object");
		return;
	}
	for (const struct rule *member = members; member->name; member++) {
		value = json_object_get(object, member->name);
		back = enter(walk, member->name);
		if (value)
			check_value(walk, member, value);
		else if (!member->optional)
			refuse(walk, "field.missing", "is missing");
		leave(walk, back);
	}
	json_object_foreach ((json_t *)object, name, value) {
		if (find(members, name))
			continue;
		back = enter(walk, name);
		refuse(walk, "field.unknown", "is not known here");
		leave(walk, back);
	}
}

static bool occurs_before(const json_t *list, size_t end, const json_t *value)
{
	for (size_t i = 0; i < end; i++)
		if (json_equal(json_array_get(list, i), value))
			return true;
	return false;
}

static void check_list(struct walk *walk, const struct rule *rule, const json_t *list)
{
	char position[24];
	json_t *value;
	size_t i, back;

	if (!json_is_array(list)) {
		refuse(walk, "field.type", "must be a list");
		return;
	}
	if (!in_range(rule, (long long)json_array_size(list))) {
		refuse(walk, "field.value", "has too few or too many entries");
		return;
	}
	json_array_foreach (list, i, value) {
		snprintf(position, sizeof(position), "%zu", i);
		back = enter(walk, position);
		check_value(walk, rule->of, value);
		if (rule->kind == RULE_SET && occurs_before(list, i, value))
			refuse(walk, "field.value", "occurs twice");
		leave(walk, back);
	}
}

static void check_map(struct walk *walk, const struct rule *rule, const json_t *map)
{
	const char *name;
	json_t *value;

	if (!json_is_object(map)) {
		refuse(walk, "field.type", "must be an object");
		return;
	}
	if (!in_range(rule, (long long)json_object_size(map))) {
		refuse(walk, "field.value", "has too few or too many members");
		return;
	}
	json_object_foreach ((json_t *)map, name, value) {
		size_t back = enter(walk, name);

		if (rule->is && !rule->is(name))
			refuse(walk, "field.unknown", "is not a name that is allowed here");
		else
			check_value(walk, rule->of, value);
		leave(walk, back);
	}
}

static void check_value(struct walk *walk, const struct rule *rule, const json_t *value)
{
	if (rule->or_null && json_is_null(value))
		return;
	switch (rule->kind) {
	case RULE_TEXT:
		check_text(walk, rule, value);
		break;
	case RULE_NUMBER:
		check_number(walk, rule, value);
		break;
	case RULE_OBJECT:
		check_object(walk, rule->of, value);
		break;
	case RULE_LIST:
	case RULE_SET:
		check_list(walk, rule, value);
		break;
	case RULE_MAP:
		check_map(walk, rule, value);
		break;
	case RULE_NULL:
		if (!json_is_null(value))
			refuse(walk, "field.value", "must be null");
		break;
	case RULE_BOOL:
		if (!json_is_boolean(value))
			refuse(walk, "field.type", "must be true or false");
		break;
	case RULE_CHOICE:
		check_value(walk, rule->choose(value), value);
		break;
	case RULE_ANY:
		break;
	}
}

const struct rule rule_log_head[] = {
	{ .name = "size", .kind = RULE_NUMBER, .max = RULE_MAX },
	{ .name = "root", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = NULL },
};

int rule_check(const struct rule *members, const json_t *object, const char *code, const char *what,
	struct err *err)
{
	struct walk walk = { .n_bad = 0 };

	check_object(&walk, members, object);
	if (walk.n_bad == 0)
		return 0;
	err_set(err, ERR_INVALID, code, "%s: '%s' %s", what, walk.bad.fields[0].pointer,
		walk.bad.fields[0].detail);
	for (unsigned i = 0; i < walk.bad.n_fields; i++)
		err_field(err, walk.bad.fields[i].pointer, walk.bad.fields[i].code, "%s",
			walk.bad.fields[i].detail);
	return -1;
}

/* --- predicates --- */

bool rule_is_digest(const char *text)
{
	unsigned char digest[DIGEST_SIZE];

	return digest_parse(text, digest, NULL) == 0;
}

bool rule_is_jwe_alg(const char *text)
{
	return strcmp(text, "ECDH-ES+A256KW") == 0;
}

bool rule_is_jwe_enc(const char *text)
{
	return strcmp(text, "A256GCM") == 0;
}

bool rule_is_bytes32(const char *text)
{
	unsigned char bytes[32];
	bool good = codec_b64url_decode_fixed(text, bytes, sizeof(bytes), NULL) == 0;

	explicit_bzero(bytes, sizeof(bytes));
	return good;
}

static bool is_label(const char *text, size_t max)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return len > 0 && len <= max && text[len] == '\0' && text[0] != '-';
}

bool rule_is_label(const char *text)
{
	return is_label(text, 63);
}

bool rule_is_name(const char *text)
{
	return is_label(text, 31);
}

bool rule_is_slot(const char *text)
{
	static const char *const prefixes[] = { "input/", "credentials/input/",
		"credentials/output/" };

	if (strcmp(text, "image") == 0 || strcmp(text, "output") == 0)
		return true;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t len = strlen(prefixes[i]);

		if (strncmp(text, prefixes[i], len) == 0)
			return rule_is_name(text + len);
	}
	return false;
}

bool rule_is_path(const char *text)
{
	size_t len = strlen(text);

	if (text[0] != '/' || len > 255 || strstr(text, "//"))
		return false;
	for (const char *part = text; (part = strchr(part, '/')); part++) {
		size_t part_len = strcspn(part + 1, "/");

		if ((part_len == 1 && part[1] == '.') ||
			(part_len == 2 && part[1] == '.' && part[2] == '.'))
			return false;
	}
	return len == 1 || text[len - 1] != '/';
}

bool rule_is_class(const char *text)
{
	return strcmp(text, "none") == 0 || strcmp(text, "software-tpm") == 0 ||
	       (strncmp(text, "tee-", 4) == 0 && is_label(text + 4, 31));
}

bool rule_is_space(const char *text)
{
	return id_is(text, "spc");
}

bool rule_is_sandbox(const char *text)
{
	return id_is(text, "sbx");
}

bool rule_is_run(const char *text)
{
	return id_is(text, "run");
}

bool rule_is_dataset(const char *text)
{
	return id_is(text, "dst");
}

bool rule_is_object(const char *text)
{
	return id_is(text, "obj");
}

bool rule_is_app(const char *text)
{
	return id_is(text, "app");
}

bool rule_is_app_config(const char *text)
{
	return id_is(text, "acf");
}
