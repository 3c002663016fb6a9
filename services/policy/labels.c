/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of labels.h, and their rows. */
#include "services/policy/labels.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/policy/queries.h"

static bool is_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	}
	return len <= LABEL_MAX_BYTES;
}

static bool is_label(const char *name, const json_t *value)
{
	return *name && !strchr(name, '=') && is_text(name, strlen(name)) &&
	       json_is_string(value) &&
	       is_text(json_string_value(value), json_string_length(value));
}

int labels_check(const json_t *labels, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)labels, name, value) {
		if (!is_label(name, value))
			return err_set(err, ERR_INVALID, "label.invalid",
				"labels are texts of at most %d bytes without control characters, "
				"and without '=' in a name",
				LABEL_MAX_BYTES);
	}
	if (json_object_size(labels) > LABELS_MAX)
		return err_set(err, ERR_INVALID, "label.invalid", "at most %d labels", LABELS_MAX);
	return 0;
}

static void release(void *labels)
{
	json_decref(labels);
}

int labels_query(struct web_req *req, json_t **ret_labels, struct err *err)
{
	const char *pair = web_query(req, "label");
	json_t *labels;

	*ret_labels = NULL;
	if (!pair)
		return 0;
	labels = json_object();
	arena_defer(req->arena, release, labels);
	for (size_t n = 0; (pair = web_query_at(req, "label", n)); n++) {
		const char *equals = strchr(pair, '=');

		if (!equals || json_object_setn_new(labels, pair, (size_t)(equals - pair),
				       json_string(equals + 1)) < 0)
			return err_set(err, ERR_INVALID, "label.invalid",
				"labels are asked for by name=value");
	}
	*ret_labels = labels;
	return labels_check(labels, err);
}

int labels_set(
	struct db *db, struct web_req *req, const char *id, const json_t *labels, struct err *err)
{
	const struct principal *who = req->principal;
	auto_free char *text = labels ? json_dumps(labels, JSON_COMPACT) : mem_strdup("{}");

	return db_exec(db, &SQL_LABEL_SET, DB_PARAMS(who->tenant, who->space, id, text), NULL, err);
}
