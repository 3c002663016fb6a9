/* SPDX-License-Identifier: Apache-2.0 */
/* What a template must be, what it makes of the parameters given, and their JSON Schema. */
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/templates.h"

#define TEXT_MAX_LEN 256
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define MOST_WEIGHT 1000000

/* --- parameters of a sandbox --- */

static int bad_parameter(const char *name, const char *why, struct err *err)
{
	char pointer[96];

	snprintf(pointer, sizeof(pointer), "/parameters/%s", name);
	err_set(err, ERR_INVALID, "template.bad_parameter", "parameter '%s' %s", name, why);
	return err_field(err, pointer, "template.bad_parameter", "%s", why);
}

static bool fits_pattern(const struct template_parameter *parameter, const char *text)
{
	regex_t regex;
	bool fits;

	if (!parameter->pattern)
		return true;
	if (regcomp(&regex, parameter->pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	fits = regexec(&regex, text, 0, NULL, 0) == 0;
	regfree(&regex);
	return fits;
}

static int check_text(
	const struct template_parameter *parameter, const json_t *value, struct err *err)
{
	const char *text = json_string_value(value);

	if (!text || json_string_length(value) > TEXT_MAX_LEN ||
		strlen(text) != json_string_length(value))
		return bad_parameter(parameter->name, "must be a short text", err);
	if (!fits_pattern(parameter, text))
		return bad_parameter(parameter->name, "does not fit its pattern", err);
	for (unsigned i = 0; i < parameter->n_allowed; i++) {
		if (strcmp(text, parameter->allowed[i]) == 0)
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

long long template_vcpus(const json_t *parameters)
{
	const json_t *vcpus = json_object_get(parameters, "vcpus");

	return json_integer_value(vcpus) > 0 ? json_integer_value(vcpus) : 1;
}

void template_takes(
	const struct template *template, const json_t *parameters, struct sandbox *ret_sandbox)
{
	ret_sandbox->vcpus = template_vcpus(parameters);
	ret_sandbox->memory_mib = json_integer_value(json_object_get(parameters, "memory_mib"));
	ret_sandbox->weight = template->weight ? template->weight : 1;
}

/* --- their schema --- */

static json_t *allowed_of(const struct template_parameter *parameter)
{
	json_t *allowed = json_array();

	for (unsigned i = 0; i < parameter->n_allowed; i++)
		json_array_append_new(allowed, json_string(parameter->allowed[i]));
	return allowed;
}

static json_t *parameter_schema(const struct template_parameter *parameter)
{
	bool is_integer = parameter->kind == TEMPLATE_INTEGER;
	json_t *schema = json_pack("{s:s,s:s,s:o}", "description", parameter->help, "type",
		is_integer ? "integer" : "string", "default", default_of(parameter));

	if (is_integer) {
		json_object_set_new(schema, "minimum", json_integer(parameter->min));
		json_object_set_new(schema, "maximum", json_integer(parameter->max));
		return schema;
	}
	json_object_set_new(schema, "maxLength", json_integer(TEXT_MAX_LEN));
	if (parameter->pattern)
		json_object_set_new(schema, "pattern", json_string(parameter->pattern));
	if (parameter->n_allowed)
		json_object_set_new(schema, "enum", allowed_of(parameter));
	return schema;
}

json_t *template_schema(const struct template *template)
{
	json_t *properties = json_object();

	for (unsigned i = 0; i < template->parameters_count; i++)
		json_object_set_new(properties, template->parameters[i].name,
			parameter_schema(&template->parameters[i]));
	return json_pack("{s:s,s:s,s:b,s:o}", "$schema",
		"https://json-schema.org/draft/2020-12/schema", "type", "object",
		"additionalProperties", 0, "properties", properties);
}

/* --- the template itself --- */

static int invalid(const char *name, const char *what, const char *why, struct err *err)
{
	return err_set(err, ERR_INVALID, "template.invalid", "%s: '%s' %s", name, what, why);
}

static bool is_word(const char *text, const char *first, const char *rest)
{
	size_t len = strlen(text);

	return len > 0 && len <= 63 && strchr(first, text[0]) && strspn(text, rest) == len;
}

/* Where POSIX and JSON Schema agree, and no pattern takes time without bound: no backslash (back
 * references), no classes by name. */
static bool is_pattern(const char *pattern)
{
	regex_t regex;

	if (strchr(pattern, '\\') || strstr(pattern, "[:") || strstr(pattern, "[.") ||
		strstr(pattern, "[="))
		return false;
	if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	regfree(&regex);
	return true;
}

static bool is_number(const char *text)
{
	char *end;

	errno = 0;
	(void)strtoll(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' &&
	       strspn(text, "-" DIGITS) == strlen(text);
}

static int check_integer(
	const struct template_parameter *parameter, const char *name, struct err *err)
{
	if (parameter->n_allowed || parameter->pattern)
		return invalid(name, parameter->name, "has a list or pattern and is a number", err);
	if (parameter->min > parameter->max)
		return invalid(name, parameter->name, "has a minimum above its maximum", err);
	return is_number(parameter->fallback)
		       ? 0
		       : invalid(name, parameter->name, "has a default that is no number", err);
}

static int check_declared(
	const struct template *template, unsigned i, const char *name, struct err *err)
{
	const struct template_parameter *parameter = &template->parameters[i];

	if (!is_word(parameter->name, LOWER, LOWER DIGITS "_"))
		return invalid(name, parameter->name, "is no name of a parameter", err);
	for (unsigned k = 0; k < i; k++) {
		if (strcmp(template->parameters[k].name, parameter->name) == 0)
			return invalid(name, parameter->name, "stands there twice", err);
	}
	if (parameter->kind == TEMPLATE_INTEGER)
		return check_integer(parameter, name, err);
	if (parameter->min || parameter->max)
		return invalid(name, parameter->name, "has bounds and is a text", err);
	if (parameter->pattern && !is_pattern(parameter->pattern))
		return invalid(name, parameter->name, "has a pattern that cannot be taken", err);
	return 0;
}

static int check_parameters(const struct template *template, const char *name, struct err *err)
{
	for (unsigned i = 0; i < template->parameters_count; i++) {
		auto_json json_t *value = NULL;

		if (check_declared(template, i, name, err) < 0)
			return -1;
		value = default_of(&template->parameters[i]);
		if (!value || check_parameter(&template->parameters[i], value, NULL) < 0)
			return invalid(name, template->parameters[i].name,
				"has a default outside its own bounds", err);
	}
	return 0;
}

static bool is_role(const char *text)
{
	static const char *const roles[] = { "owner", "admin", "algorithm-owner", "data-owner",
		"auditor", "operator" };

	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		if (strcmp(text, roles[i]) == 0)
			return true;
	}
	return false;
}

static int check_users(const struct template *template, const char *name, struct err *err)
{
	for (unsigned i = 0; i < template->n_roles; i++) {
		if (!is_role(template->roles[i]))
			return invalid(name, template->roles[i], "is no role", err);
	}
	for (unsigned i = 0; i < template->n_tenants; i++) {
		if (!id_is(template->tenants[i], "tnt"))
			return invalid(name, template->tenants[i], "is no tenant's id", err);
	}
	return 0;
}

/* Only a VM has a TPM. */
static bool gives_class(const struct template *template)
{
	return strcmp(template->class, "none") == 0 ||
	       (strcmp(template->class, "software-tpm") == 0 &&
		       strcmp(template->driver, "process") != 0);
}

int template_check(const struct template *template, const char *name, struct err *err)
{
	if (!is_word(template->id, LOWER DIGITS, LOWER DIGITS "-"))
		return invalid(name, template->id, "is no id of a template", err);
	if (template->version < 1 || template->version > INT32_MAX)
		return invalid(name, "version", "is not a number from 1 on", err);
	if (template->weight < 0 || template->weight > MOST_WEIGHT)
		return invalid(name, "weight", "is not between 0 and 1000000", err);
	if (!driver_find(template->driver))
		return invalid(name, template->driver, "is no driver of this release", err);
	if (!gives_class(template))
		return invalid(name, template->class,
			"is no class of evidence that the driver gives", err);
	return check_users(template, name, err) < 0 ? -1 : check_parameters(template, name, err);
}
