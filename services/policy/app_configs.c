/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations of applications: ports, config files, labels, and the APPCONFIG_ID of that. */
#include <string.h>

#include "lib/json.h"
#include "proto/app_config.h"
#include "proto/roles.h"
#include "services/policy/apps.h"
#include "services/policy/name.h"
#include "services/policy/queries.h"

#define MAX_PORTS 16

struct config_body {
	const char *name, *description, *app;
	json_t *ports, *files, *labels, *zone_ca, *workflow;
};

static const struct json_field fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct config_body, name), true, 63 },
	{ "description", JSON_FIELD_TEXT, offsetof(struct config_body, description), false, 1000 },
	{ "app", JSON_FIELD_TEXT, offsetof(struct config_body, app), true, ID_SIZE },
	{ "ports", JSON_FIELD_ARRAY, offsetof(struct config_body, ports), false, MAX_PORTS },
	{ "app_config", JSON_FIELD_OBJECT, offsetof(struct config_body, files), false, 0 },
	{ "labels", JSON_FIELD_OBJECT, offsetof(struct config_body, labels), false, 0 },
	{ "zone_ca", JSON_FIELD_ARRAY, offsetof(struct config_body, zone_ca), false, 0 },
	{ "workflow", JSON_FIELD_OBJECT, offsetof(struct config_body, workflow), false, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int check_ports(const json_t *ports, struct err *err)
{
	json_t *port, *other;
	size_t i, j;

	json_array_foreach (ports, i, port) {
		if (!json_is_string(port) ||
			name_check(json_string_value(port), "/ports", NULL) < 0)
			return err_set(err, ERR_INVALID, "app_config.bad_ports",
				"port %zu does not match [a-z0-9][a-z0-9-]{0,62}", i);
		json_array_foreach (ports, j, other) {
			if (j < i && json_equal(port, other))
				return err_set(err, ERR_INVALID, "app_config.bad_ports",
					"port %zu stands twice", i);
		}
	}
	return 0;
}

static json_t *or_empty(json_t *value, bool is_list)
{
	return value ? json_incref(value) : is_list ? json_array() : json_object();
}

static json_t *runtime_of(const struct config_body *body)
{
	json_t *runtime = json_pack("{s:o,s:o,s:o}", "app_config", or_empty(body->files, false),
		"labels", or_empty(body->labels, false), "zone_ca", or_empty(body->zone_ca, true));

	if (body->workflow)
		json_object_set(runtime, "workflow", body->workflow);
	return runtime;
}

static int decode(struct web_req *req, bool is_new, struct record *record, struct err *err)
{
	struct config_body body = { .description = "" };
	auto_json json_t *runtime = NULL;
	char id[APP_CONFIG_ID_SIZE];

	(void)is_new;
	if (json_decode(req->arena, req->json, fields, &body, err) < 0 ||
		name_check(body.name, "/name", err) < 0 || check_ports(body.ports, err) < 0)
		return -1;
	runtime = runtime_of(&body);
	if (app_config_check(runtime, err) < 0 || app_config_id(runtime, id, err) < 0)
		return -1;
	record->name = body.name;
	record->detail = arena_strdup(req->arena, id);
	record_add(record, body.name);
	record_add(record, body.description);
	record_add(record, body.app);
	record_add_json(req, record, body.ports, "[]");
	record_add_json(req, record, runtime, NULL);
	record_add(record, record->detail);
	return 0;
}

/* A list's rows come without the runtime. */
static json_t *encode(const struct db_rows *rows, size_t i)
{
	json_t *record = json_pack("{s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s}", "id",
		db_text(rows, i, "id"), "name", db_text(rows, i, "name"), "description",
		db_text(rows, i, "description"), "app", db_text(rows, i, "app_id"), "ports",
		json_loads(db_text(rows, i, "ports"), 0, NULL), "app_config_id",
		db_text(rows, i, "app_config_id"), "created_by", db_text(rows, i, "created_by"),
		"created_at", db_text(rows, i, "created_at"));
	auto_json json_t *runtime = NULL;

	if (db_is_null(rows, i, "runtime"))
		return record;
	runtime = json_loads(db_text(rows, i, "runtime"), 0, NULL);
	json_object_update(record, runtime);
	if (!json_object_get(runtime, "workflow"))
		json_object_set_new(record, "workflow", json_null());
	return record;
}

/* ?app= the configurations of one application, which may be another tenant's that shares it. */
static int query(struct web_req *req, struct record *record, struct err *err)
{
	const char *app = web_query(req, "app");

	(void)err;
	if (app) {
		record->list = &SQL_APP_CONFIG_LIST_OF_APP;
		record_add(record, app);
	}
	return 0;
}

const struct record_kind app_config_kind = {
	.name = "app_config",
	.prefix = "acf",
	.path = "/v1/app-configs",
	.roles = ROLES_IMAGES,
	.refers = "app",
	.decode = decode,
	.query = query,
	.encode = encode,
	.read = { .sql = &SQL_APP_CONFIG_BY_ID, .answer = record_show, .shared = true },
	.list = &SQL_APP_CONFIG_LIST,
	.insert = &SQL_APP_CONFIG_INSERT,
	.update = &SQL_APP_CONFIG_UPDATE,
	.remove = &SQL_APP_CONFIG_DELETE,
};
