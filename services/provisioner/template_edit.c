/* SPDX-License-Identifier: Apache-2.0 */
/* What operators do with templates: a draft, published (and never changed again), deprecated. */
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/provisioner/templates.h"

static json_t *texts(char *const *list, unsigned count)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(array, json_string(list[i]));
	return array;
}

json_t *template_operator_record(const struct template *template, const struct template_row *row)
{
	json_t *record = template_record(template, row);

	json_object_set_new(record, "roles", texts(template->roles, template->n_roles));
	json_object_set_new(record, "tenants", texts(template->tenants, template->n_tenants));
	json_object_set_new(record, "document", json_string(row->document));
	json_object_set_new(record, "built_in", json_boolean(row->is_built_in));
	json_object_set_new(record, "created_by", json_string(row->created_by));
	json_object_set_new(record, "created_at", json_string(row->created_at));
	json_object_set_new(record, "updated_at", json_string(row->updated_at));
	return record;
}

static int need_operator(const struct web_req *req, struct err *err)
{
	return principal_need_role(req->principal, "operator", err);
}

/* The version that the path names. */
static int get(struct web_req *req, struct template_row *ret_row, struct err *err)
{
	if (need_operator(req, err) < 0)
		return -1;
	return store_template_get(
		req, web_param(req, "template_id"), template_version_of(req), ret_row, err);
}

/* A document of a request: text without NUL, a template, and one that can be used. */
static int read_body(struct web_req *req, struct template **ret_template, struct err *err)
{
	auto_template struct template *template = NULL;
	const char *text = (const char *)req->body;

	if (req->body_len == 0 || memchr(text, '\0', req->body_len))
		return err_set(err, ERR_INVALID, "template.invalid",
			"the body is a template's YAML document");
	if (template_parse(text, req->body_len, "document", &template, err) < 0 ||
		template_check(template, "document", err) < 0)
		return -1;
	*ret_template = take_ptr(template);
	return 0;
}

static int answer(struct web_req *req, struct web_res *res, const char *id, long long version,
	struct err *err)
{
	auto_template struct template *template = NULL;
	struct template_row row;

	if (store_template_get(req, id, version, &row, err) < 0 ||
		template_parse(row.document, strlen(row.document), id, &template, err) < 0)
		return -1;
	res->json = template_operator_record(template, &row);
	resource_etag(req, res, row.revision);
	return 0;
}

/* The same document again is answered with what it made. */
int template_create(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_template struct template *template = NULL;
	struct template_row row = { .document = (const char *)req->body };
	bool was_made;

	if (need_operator(req, err) < 0 || read_body(req, &template, err) < 0)
		return -1;
	row.id = template->id;
	row.version = template->version;
	if (store_template_add(req, &row, &was_made, err) < 0 ||
		answer(req, res, row.id, row.version, err) < 0)
		return -1;
	res->status = was_made ? 201 : 200;
	web_header_add(res, "Location",
		arena_printf(req->arena, "/v1/templates/%s/versions/%lld", row.id, row.version));
	return 0;
}

int template_replace(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_template struct template *template = NULL;
	struct template_row row;

	if (get(req, &row, err) < 0 || resource_if_match(req, row.revision, err) < 0 ||
		read_body(req, &template, err) < 0)
		return -1;
	if (strcmp(row.state, "draft") != 0)
		return err_set(err, ERR_CONFLICT, "template.published",
			"version %lld of template '%s' is %s", row.version, row.id, row.state);
	if (strcmp(template->id, row.id) != 0 || template->version != row.version)
		return err_set(err, ERR_UNPROCESSABLE, "template.other_version",
			"the document is version %lld of '%s'", template->version, template->id);
	if (store_template_replace(req, &row, (const char *)req->body, err) < 0)
		return -1;
	return answer(req, res, row.id, row.version, err);
}

int template_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	struct template_row row;

	if (get(req, &row, err) < 0 || resource_if_match(req, row.revision, err) < 0)
		return -1;
	if (strcmp(row.state, "draft") != 0)
		return err_set(err, ERR_CONFLICT, "template.published",
			"version %lld of template '%s' is %s", row.version, row.id, row.state);
	if (store_template_delete(req, &row, err) < 0)
		return -1;
	res->status = 204;
	return 0;
}

/* From one state to the next; what is there already is answered as it is. */
static int move(
	struct web_req *req, struct web_res *res, const char *from, const char *to, struct err *err)
{
	struct template_row row;

	if (get(req, &row, err) < 0)
		return -1;
	if (strcmp(row.state, to) == 0)
		return answer(req, res, row.id, row.version, err);
	if (strcmp(row.state, from) != 0)
		return err_set(err, ERR_CONFLICT, "template.not_now",
			"version %lld of template '%s' is %s", row.version, row.id, row.state);
	if (store_template_state(req, &row, to, err) < 0)
		return -1;
	return answer(req, res, row.id, row.version, err);
}

int template_publish(struct web_req *req, struct web_res *res, struct err *err)
{
	return move(req, res, "draft", "published", err);
}

int template_deprecate(struct web_req *req, struct web_res *res, struct err *err)
{
	return move(req, res, "published", "deprecated", err);
}

static int on_version(void *arg, const struct template_row *row, struct err *err)
{
	auto_template struct template *template = NULL;
	json_t *items = arg;

	if (template_parse(row->document, strlen(row->document), row->id, &template, err) < 0)
		return -1;
	json_array_append_new(items, template_operator_record(template, row));
	return 0;
}

int template_versions(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_json json_t *items = json_array();

	if (need_operator(req, err) < 0 ||
		store_template_versions(req->worker->db, req->arena, web_param(req, "template_id"),
			on_version, items, err) < 0)
		return -1;
	res->json = json_pack("{s:O,s:n}", "items", items, "next_page_token");
	return 0;
}
