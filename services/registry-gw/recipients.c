/* SPDX-License-Identifier: Apache-2.0 */
/* Whom an image is encrypted for, as far as its packets tell (manifest_check.h). */
#include <stdlib.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "services/registry-gw/manifest_check.h"

#define MAX_TOLD 64 /* different ones; an image that is for more is still checked as a whole */

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static void add_one(json_t *object, const char *name)
{
	json_int_t before = json_integer_value(json_object_get(object, name));

	json_object_set_new(object, name, json_integer(before + 1));
}

/* The entry for this recipient, or NULL when there are too many. */
static json_t *entry_of(json_t *entries, const json_t *recipient)
{
	auto_free char *key = mem_printf("%s %s %s", json_text(recipient, "scheme"),
		or_empty(json_text(recipient, "issuer_serial")),
		or_empty(json_text(recipient, "kid")));
	json_t *entry = json_object_get(entries, key);

	if (entry || json_object_size(entries) == MAX_TOLD)
		return entry;
	entry = json_deep_copy(recipient);
	json_object_set_new(entries, key, entry);
	return entry;
}

static void add_layer(json_t *entries, const json_t *layer)
{
	const json_t *recipient;
	const char *key;
	json_t *entry;
	size_t i;

	json_array_foreach (layer, i, recipient) {
		entry = entry_of(entries, recipient);
		if (entry)
			add_one(entry, "packets");
	}
	json_object_foreach (entries, key, entry) {
		json_int_t packets = json_integer_value(json_object_get(entry, "packets"));
		json_int_t before = json_integer_value(json_object_get(entry, "seen"));

		if (packets > before)
			add_one(entry, "layers");
		json_object_set_new(entry, "seen", json_integer(packets));
	}
}

struct recipients recipients_of(const json_t *layers)
{
	auto_json json_t *entries = json_object();
	struct recipients found = { .list = json_array() };
	const json_t *layer;
	const char *key;
	json_t *entry;
	size_t i;

	json_array_foreach (layers, i, layer) {
		if ((long long)json_array_size(layer) > found.most)
			found.most = (long long)json_array_size(layer);
		add_layer(entries, layer);
	}
	json_object_foreach (entries, key, entry) {
		json_object_del(entry, "seen");
		json_array_append(found.list, entry);
	}
	return found;
}
