/* SPDX-License-Identifier: Apache-2.0 */
/* Applications. */
#include "services/policy/apps.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/digest.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/roles.h"
#include "proto/trust_shape.h"
#include "services/policy/labels.h"
#include "services/policy/name.h"
#include "services/policy/queries.h"
#include "services/policy/tasks.h"

#define MAX_DOMAINS 64
#define MAX_ENDPOINT 264

struct app_body {
	const char *name, *description;
	json_t *image, *allowed_domains, *labels;
};

static const struct json_field fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct app_body, name), true, 63 },
	{ "description", JSON_FIELD_TEXT, offsetof(struct app_body, description), false, 1000 },
	{ "image", JSON_FIELD_OBJECT, offsetof(struct app_body, image), true, 0 },
	{ "allowed_domains", JSON_FIELD_ARRAY, offsetof(struct app_body, allowed_domains), false,
		MAX_DOMAINS },
	{ "labels", JSON_FIELD_OBJECT, offsetof(struct app_body, labels), false, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int check_image(const json_t *image, struct err *err)
{
	const char *repository = json_text(image, "repository"),
		   *manifest = json_text(image, "manifest");
	unsigned char digest[DIGEST_SIZE];

	if (json_object_size(image) == 2 && repository && manifest &&
		shape_is_repository(repository) && digest_parse(manifest, digest, NULL) == 0)
		return 0;
	return err_set(err, ERR_INVALID, "app.bad_image",
		"image is {repository: tenant/name, manifest: sha256:…}");
}

bool app_is_own_image(const struct principal *who, const char *repository)
{
	size_t len = strlen(who->tenant_name);

	return strncmp(repository, who->tenant_name, len) == 0 && repository[len] == '/';
}

/* --- domains --- */

/* A host's name, with a port or without. Its last part begins with a letter: it is no address. */
static bool is_domain(const char *text)
{
	size_t len = strcspn(text, ":");
	const char *dot = memrchr(text, '.', len), *last = dot ? dot + 1 : text;
	char endpoint[MAX_ENDPOINT];

	if (*last < 'a' || *last > 'z' || len > sizeof(endpoint) - sizeof(":443"))
		return false;
	snprintf(endpoint, sizeof(endpoint), "%.*s:443", (int)len, text);
	return shape_is_endpoint(text[len] ? text : endpoint);
}

static int by_text(const void *left, const void *right)
{
	const char *const *a = left, *const *b = right;

	return strcmp(*a, *b);
}

/* The set, in one spelling: two of the same domains are equal texts. */
static int sorted_domains(const json_t *domains, json_t **ret_sorted, struct err *err)
{
	size_t count = json_array_size(domains);
	auto_free const char **texts = mem_array(count + 1, sizeof(*texts));
	auto_json json_t *sorted = json_array();

	for (size_t i = 0; i < count; i++) {
		texts[i] = json_string_value(json_array_get(domains, i));
		if (!texts[i] || !is_domain(texts[i]))
			return err_set(err, ERR_INVALID, "app.bad_domain",
				"domain %zu is no name of a host, with :port or without", i);
	}
	qsort(texts, count, sizeof(*texts), by_text);
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && strcmp(texts[i], texts[i - 1]) == 0)
			return err_set(err, ERR_INVALID, "app.bad_domain",
				"the domain '%s' stands twice", texts[i]);
		json_array_append_new(sorted, json_string(texts[i]));
	}
	*ret_sorted = json_incref(sorted);
	return 0;
}

/* --- the resource --- */

static int decode(struct web_req *req, bool is_new, struct record *record, struct err *err)
{
	struct app_body body = { .description = "" };
	auto_json json_t *domains = NULL;

	(void)is_new;
	if (json_decode(req->arena, req->json, fields, &body, err) < 0 ||
		name_check(body.name, "/name", err) < 0 || check_image(body.image, err) < 0 ||
		sorted_domains(body.allowed_domains, &domains, err) < 0)
		return -1;
	if (labels_check(body.labels, err) < 0)
		return -1;
	if (!app_is_own_image(req->principal, json_text(body.image, "repository")))
		return err_set(err, ERR_UNPROCESSABLE, "app.foreign_image",
			"repositories of this tenant start with '%s/'",
			req->principal->tenant_name);
	record->name = body.name;
	record->detail = arena_strdup(req->arena, json_text(body.image, "manifest"));
	record_add(record, body.name);
	record_add(record, body.description);
	record_add(record, arena_strdup(req->arena, json_text(body.image, "repository")));
	record_add(record, record->detail);
	record_add_json(req, record, domains, "[]");
	record_add_json(req, record, body.labels, "{}");
	return 0;
}

static json_t *parsed(const struct db_rows *rows, size_t i, const char *column)
{
	return json_loads(db_text(rows, i, column), 0, NULL);
}

static void set_task(json_t *object, const struct db_rows *rows, size_t i, const char *column)
{
	json_object_set_new(object, "task",
		db_is_null(rows, i, column) ? json_null() : json_string(db_text(rows, i, column)));
}

static json_t *encode(const struct db_rows *rows, size_t i)
{
	json_t *build = json_pack("{s:s}", "status", db_text(rows, i, "build_status"));
	json_t *domains = json_pack("{s:s,s:o}", "status", db_text(rows, i, "domains_status"),
		"whitelisted", parsed(rows, i, "whitelisted_domains"));

	set_task(build, rows, i, "build_task");
	set_task(domains, rows, i, "domains_task");
	return json_pack("{s:s,s:s,s:s,s:s,s:{s:s,s:s},s:o,s:o,s:o,s:o,s:s,s:s}", "id",
		db_text(rows, i, "id"), "tenant", db_text(rows, i, "tenant_id"), "name",
		db_text(rows, i, "name"), "description", db_text(rows, i, "description"), "image",
		"repository", db_text(rows, i, "repository"), "manifest",
		db_text(rows, i, "manifest"), "allowed_domains", parsed(rows, i, "allowed_domains"),
		"build", build, "domains", domains, "labels", parsed(rows, i, "labels"),
		"created_by", db_text(rows, i, "created_by"), "created_at",
		db_text(rows, i, "created_at"));
}

const struct record_kind app_kind = {
	.name = "app",
	.prefix = "app",
	.path = "/v1/apps",
	.roles = ROLES_IMAGES,
	.in_use = "a configuration is for this application",
	.decode = decode,
	.also = task_open_for_app,
	.encode = encode,
	.read = { .sql = &SQL_APP_BY_ID, .answer = record_show, .shared = true },
	.list = &SQL_APP_LIST,
	.insert = &SQL_APP_INSERT,
	.update = &SQL_APP_UPDATE,
	.remove = &SQL_APP_DELETE,
};
