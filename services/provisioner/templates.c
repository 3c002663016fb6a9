/* SPDX-License-Identifier: Apache-2.0 */
/* The files at start, and what members see of templates. */
#include "services/provisioner/templates.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/launch.h"
#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/digest.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/provisioner/config.h"

static json_t *reference; /* guest.json */
static char edge_spki[DIGEST_TEXT_SIZE];

const char *template_edge_spki(void)
{
	return edge_spki;
}

json_t *template_record(const struct template *template, const struct template_row *row)
{
	return json_pack("{s:s,s:I,s:s,s:s,s:s,s:I,s:o,s:[s],s:O,s:s}", "id", template->id,
		"version", (json_int_t) template->version, "state", row->state, "title",
		template->title, "driver", template->driver, "weight",
		(json_int_t)(template->weight ? template->weight : 1), "parameters",
		template_schema(template), "classes", template->class, "reference", reference,
		"edge_ca_spki", edge_spki);
}

/* --- who may use it --- */

static bool is_listed(char *const *list, unsigned count, const char *text)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(list[i], text) == 0)
			return true;
	}
	return false;
}

static bool is_for(const struct template *template, const struct principal *caller)
{
	bool has_role = template->n_roles == 0;

	if (template->n_tenants &&
		!is_listed(template->tenants, template->n_tenants, caller->tenant))
		return false;
	for (unsigned i = 0; i < template->n_roles && !has_role; i++)
		has_role = principal_has_role(caller, template->roles[i]);
	return has_role;
}

static int not_found(const char *id, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "template.not_found", "there is no template '%s'", id);
}

/* Rows come with each id's newest first; the first that is for the caller is this id's. */
struct search {
	const struct principal *caller; /* NULL: anybody's */
	long long version;		/* 0: the newest */
	json_t *items;			/* of all ids, or NULL: */
	struct template *found;
	struct template_row row; /* of it */
	const char *last;	 /* id that is in `items` already */
};

static int on_offered(void *arg, const struct template_row *row, struct err *err)
{
	auto_template struct template *template = NULL;
	struct search *search = arg;

	if (search->found || (search->last && strcmp(search->last, row->id) == 0) ||
		(search->version && search->version != row->version))
		return 0;
	if (template_parse(row->document, strlen(row->document), row->id, &template, err) < 0)
		return -1;
	if (search->caller && !is_for(template, search->caller))
		return 0;
	if (search->items) {
		json_array_append_new(search->items, template_record(template, row));
		search->last = row->id;
		return 0;
	}
	search->row = *row;
	search->found = take_ptr(template);
	return 0;
}

static int find(struct web_req *req, const char *id, long long version, struct search *ret_search,
	struct err *err)
{
	*ret_search = (struct search) { .caller = req->principal, .version = version };
	if (store_template_offered(req->worker->db, req->arena, id, on_offered, ret_search, err) <
		0)
		return -1;
	return ret_search->found ? 0 : not_found(id, err);
}

int template_find(struct web_req *req, const char *id, long long version,
	struct template **ret_template, struct err *err)
{
	struct search search;

	if (find(req, id, version, &search, err) < 0)
		return -1;
	*ret_template = search.found;
	return 0;
}

int template_newest(
	struct worker *worker, const char *id, struct template **ret_template, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	struct search search = { 0 };

	if (store_template_offered(worker->db, arena, id, on_offered, &search, err) < 0)
		return -1;
	*ret_template = search.found;
	return 0;
}

/* --- handlers --- */

int template_list(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_json json_t *items = json_array();
	struct search search = { .caller = req->principal, .items = items };

	if (store_template_offered(req->worker->db, req->arena, NULL, on_offered, &search, err) < 0)
		return -1;
	res->json = json_pack("{s:O,s:n}", "items", items, "next_page_token");
	return 0;
}

int template_show(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_template struct template *template = NULL;
	struct search search;

	if (find(req, web_param(req, "template_id"), 0, &search, err) < 0)
		return -1;
	template = search.found;
	res->json = template_record(template, &search.row);
	return 0;
}

long long template_version_of(const struct web_req *req)
{
	const char *text = web_param(req, "version");

	return strspn(text, "0123456789") == strlen(text) ? strtoll(text, NULL, 10) : 0;
}

/* A draft is its makers' only; a deprecated version may still be read by whoever could use it. */
int template_version(struct web_req *req, struct web_res *res, struct err *err)
{
	bool is_operator = principal_has_role(req->principal, "operator");
	auto_template struct template *template = NULL;
	const char *id = web_param(req, "template_id");
	struct template_row row;

	if (store_template_get(req, id, template_version_of(req), &row, err) < 0 ||
		template_parse(row.document, strlen(row.document), id, &template, err) < 0)
		return -1;
	if (!is_operator && (strcmp(row.state, "draft") == 0 || !is_for(template, req->principal)))
		return err_set(err, ERR_NOT_FOUND, "template.not_found",
			"there is no template '%s' with that version", id);
	res->json = is_operator ? template_operator_record(template, &row)
				: template_record(template, &row);
	resource_etag(req, res, row.revision);
	return 0;
}

/* What is measured at launch: template, sandbox, edge; nothing of a tenant or a policy, no secret.
 */
int template_initdata(
	const struct template *template, const char *id, char **ret_text, struct err *err)
{
	auto_json json_t *initdata = json_pack("{s:s,s:{s:s,s:I},s:s,s:{s:s,s:I,s:s},s:[s]}", "v",
		"strongroom-initdata-1", "template", "id", template->id, "version",
		(json_int_t) template->version, "sandbox", id, "edge", "host", LAUNCH_GUEST_GATEWAY,
		"port", (json_int_t)LAUNCH_PORT, "ca_spki", edge_spki, "classes", template->class);
	size_t len;

	return jcs_encode(initdata, ret_text, &len, err);
}

/* --- at start --- */

static int publish_file(struct db *db, const char *path, struct err *err)
{
	auto_template struct template *template = NULL;
	auto_buf text = BUF_INIT(TEMPLATE_MAX_LEN);
	struct template_row row = { 0 };

	if (buf_read_file(&text, path, err) < 0 ||
		template_parse((const char *)text.data, text.len, path, &template, err) < 0 ||
		template_check(template, path, err) < 0 || buf_add(&text, "", 1, err) < 0)
		return -1;
	row.id = template->id;
	row.version = template->version;
	row.document = (const char *)text.data;
	return store_template_built_in(db, &row, err);
}

static int publish_files(struct db *db, const char *folder, struct err *err)
{
	auto_free char *pattern = mem_printf("%s/*/template.yaml", folder);
	glob_t found;
	int r = 0;

	if (glob(pattern, 0, NULL, &found) != 0)
		return err_set(err, ERR_INVALID, "template.invalid",
			"there is no template below '%s'", folder);
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
		r = publish_file(db, found.gl_pathv[i], err);
	globfree(&found);
	return r;
}

int templates_init(struct worker *worker, struct err *err)
{
	const struct provisioner_conf *conf = worker->program;
	auto_free char *guest = mem_printf("%s/guest.json", conf->guest_dir);
	auto_buf text = BUF_INIT(65536), pem = BUF_INIT(65536);
	struct cert_info info;

	if (buf_read_file(&text, guest, err) < 0 || buf_read_file(&pem, conf->edge_ca, err) < 0 ||
		cert_parse(pem.data, pem.len, &info, NULL, NULL, NULL, err) < 0)
		return -1;
	reference = json_parse((const char *)text.data, text.len, err);
	if (!reference)
		return err_wrap(err, "%s", guest);
	memcpy(edge_spki, info.spki, sizeof(edge_spki));
	return publish_files(worker->db, conf->templates_dir, err);
}
