/* SPDX-License-Identifier: Apache-2.0 */
/* The templates of this process: read at start, then const. */
#include "services/provisioner/templates.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "services/provisioner/config.h"
#include "services/provisioner/driver.h"

#define MAX_TEMPLATES 64
#define TEXT_MAX_LEN 256

static struct template *templates[MAX_TEMPLATES];
static size_t n_templates;
static json_t *reference; /* guest.json */
static char edge_spki[DIGEST_TEXT_SIZE];

static json_t *parameter_schema(const struct template_parameter *parameter)
{
	json_t *schema = json_pack("{s:s,s:s}", "description", parameter->help, "type",
		parameter->kind == TEMPLATE_INTEGER ? "integer" : "string");

	if (parameter->kind == TEMPLATE_INTEGER) {
		json_object_set_new(
			schema, "default", json_integer(strtoll(parameter->fallback, NULL, 10)));
		json_object_set_new(schema, "minimum", json_integer(parameter->min));
		json_object_set_new(schema, "maximum", json_integer(parameter->max));
		return schema;
	}
	json_object_set_new(schema, "default", json_string(parameter->fallback));
	if (parameter->n_allowed) {
		json_t *allowed = json_array();

		for (unsigned i = 0; i < parameter->n_allowed; i++)
			json_array_append_new(allowed, json_string(parameter->allowed[i]));
		json_object_set_new(schema, "enum", allowed);
	}
	return schema;
}

static json_t *template_record(const struct template *template)
{
	json_t *properties = json_object();

	for (unsigned i = 0; i < template->parameters_count; i++)
		json_object_set_new(properties, template->parameters[i].name,
			parameter_schema(&template->parameters[i]));
	return json_pack("{s:s,s:I,s:s,s:s,s:{s:s,s:s,s:b,s:o},s:[s],s:O,s:s}", "id", template->id,
		"version", (json_int_t) template->version, "title", template->title, "driver",
		template->driver, "parameters", "$schema",
		"https://json-schema.org/draft/2020-12/schema", "type", "object",
		"additionalProperties", 0, "properties", properties, "classes", template->class,
		"reference", reference, "edge_ca_spki", edge_spki);
}

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
		has_role = principal_need_role(caller, template->roles[i], NULL) == 0;
	return has_role;
}

int template_list(struct web_req *req, struct web_res *res, struct err *err)
{
	json_t *items = json_array();

	(void)err;
	for (size_t i = 0; i < n_templates; i++) {
		if (is_for(templates[i], req->principal))
			json_array_append_new(items, template_record(templates[i]));
	}
	res->json = json_pack("{s:o,s:n}", "items", items, "next_page_token");
	return 0;
}

int template_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct template *template;

	if (template_find(req->principal, web_param(req, "template_id"), &template, err) < 0)
		return -1;
	res->json = template_record(template);
	return 0;
}

int template_find(const struct principal *caller, const char *id,
	const struct template **ret_template, struct err *err)
{
	for (size_t i = 0; i < n_templates; i++) {
		if (strcmp(templates[i]->id, id) == 0 && is_for(templates[i], caller)) {
			*ret_template = templates[i];
			return 0;
		}
	}
	return err_set(err, ERR_NOT_FOUND, "template.not_found", "there is no template '%s'", id);
}

const char *template_edge_spki(void)
{
	return edge_spki;
}

static int bad_parameter(const char *name, const char *why, struct err *err)
{
	char pointer[96];

	snprintf(pointer, sizeof(pointer), "/parameters/%s", name);
	err_set(err, ERR_INVALID, "template.bad_parameter", "parameter '%s' %s", name, why);
	return err_field(err, pointer, "template.bad_parameter", "%s", why);
}

static int check_text(
	const struct template_parameter *parameter, const json_t *value, struct err *err)
{
	if (!json_is_string(value) || json_string_length(value) > TEXT_MAX_LEN)
		return bad_parameter(parameter->name, "must be a short text", err);
	for (unsigned i = 0; i < parameter->n_allowed; i++) {
		if (strcmp(json_string_value(value), parameter->allowed[i]) == 0)
			return 0;
	}
	return parameter->n_allowed
		       ? bad_parameter(parameter->name, "is not one of the allowed values", err)
		       : 0;
}

static int check_parameter(
	const struct template_parameter *parameter, const json_t *value, struct err *err)
{
	if (parameter->kind == TEMPLATE_TEXT)
		return check_text(parameter, value, err);
	if (!json_is_integer(value) || json_integer_value(value) < parameter->min ||
		json_integer_value(value) > parameter->max)
		return bad_parameter(
			parameter->name, "must be a number within the template's bounds", err);
	return 0;
}

static json_t *default_of(const struct template_parameter *parameter)
{
	return parameter->kind == TEMPLATE_TEXT
		       ? json_string(parameter->fallback)
		       : json_integer(strtoll(parameter->fallback, NULL, 10));
}

int template_complete(const struct template *template, const json_t *given, json_t **ret_parameters,
	struct err *err)
{
	auto_json json_t *complete = json_object();
	size_t used = 0;

	for (unsigned i = 0; i < template->parameters_count; i++) {
		const struct template_parameter *parameter = &template->parameters[i];
		const json_t *value = json_object_get(given, parameter->name);

		if (value && check_parameter(parameter, value, err) < 0)
			return -1;
		used += value ? 1 : 0;
		json_object_set_new(complete, parameter->name,
			value ? json_deep_copy(value) : default_of(parameter));
	}
	if (used != json_object_size(given))
		return err_set(err, ERR_INVALID, "template.bad_parameter",
			"a parameter is not one of the template's");
	*ret_parameters = take_ptr(complete);
	return 0;
}

void template_takes(
	const struct template *template, const json_t *parameters, struct sandbox *ret_sandbox)
{
	const json_t *vcpus = json_object_get(parameters, "vcpus");

	ret_sandbox->vcpus = vcpus ? json_integer_value(vcpus) : 1;
	ret_sandbox->memory_mib = json_integer_value(json_object_get(parameters, "memory_mib"));
	ret_sandbox->weight = template->weight ? template->weight : 1;
}

static int check_template(const struct template *template, const char *path, struct err *err)
{
	auto_json json_t *defaults = NULL;

	if (!driver_find(template->driver))
		return err_set(err, ERR_INVALID, "template.invalid", "%s: there is no driver '%s'",
			path, template->driver);
	if (strcmp(template->class, "none") != 0 && strcmp(template->class, "software-tpm") != 0)
		return err_set(err, ERR_INVALID, "template.invalid",
			"%s: the driver gives no evidence of the class '%s'", path,
			template->class);
	for (unsigned i = 0; i < template->parameters_count; i++) {
		auto_json json_t *value = default_of(&template->parameters[i]);

		if (check_parameter(&template->parameters[i], value, err) < 0)
			return err_wrap(err, "%s: default", path);
	}
	return template_complete(template, NULL, &defaults, err);
}

static int read_template(struct db *db, const char *path, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];
	struct template *template;

	if (digest_file(path, digest, NULL, err) < 0 ||
		template_file_read(path, &template, err) < 0)
		return -1;
	templates[n_templates++] = template;
	if (check_template(template, path, err) < 0)
		return -1;
	return store_template_publish(db, template->id, template->version, digest, err);
}

static int read_templates(struct db *db, const char *folder, struct err *err)
{
	auto_free char *pattern = mem_printf("%s/*/template.yaml", folder);
	glob_t found;
	int r = 0;

	if (glob(pattern, 0, NULL, &found) != 0)
		return err_set(err, ERR_INVALID, "template.invalid",
			"there is no template below '%s'", folder);
	for (size_t i = 0; r == 0 && i < found.gl_pathc && i < MAX_TEMPLATES; i++)
		r = read_template(db, found.gl_pathv[i], err);
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
	return read_templates(worker->db, conf->templates_dir, err);
}
