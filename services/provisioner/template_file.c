/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one template's YAML with libcyaml: closed schema, no aliases, line and column in the
 * refusal. */
#include <cyaml/cyaml.h>
#include <string.h>

#include "lib/mem.h"
#include "services/provisioner/templates.h"

static const cyaml_strval_t kinds[] = { { "integer", TEMPLATE_INTEGER },
	{ "text", TEMPLATE_TEXT } };

static const cyaml_schema_value_t text_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, 256),
};

static const cyaml_schema_field_t parameter_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct template_parameter, name, 1, 63),
	CYAML_FIELD_ENUM("type", CYAML_FLAG_STRICT, struct template_parameter, kind, kinds,
		ARRAY_LEN(kinds)),
	CYAML_FIELD_STRING_PTR("help", CYAML_FLAG_POINTER, struct template_parameter, help, 0, 256),
	CYAML_FIELD_STRING_PTR(
		"default", CYAML_FLAG_POINTER, struct template_parameter, fallback, 0, 256),
	CYAML_FIELD_INT("min", CYAML_FLAG_OPTIONAL, struct template_parameter, min),
	CYAML_FIELD_INT("max", CYAML_FLAG_OPTIONAL, struct template_parameter, max),
	CYAML_FIELD_SEQUENCE_COUNT("enum", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct template_parameter, allowed, n_allowed, &text_schema, 0, 64),
	CYAML_FIELD_STRING_PTR("pattern", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct template_parameter, pattern, 1, 128),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t parameter_value_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct template_parameter, parameter_fields),
};

static const cyaml_schema_field_t template_fields[] = {
	CYAML_FIELD_STRING_PTR("id", CYAML_FLAG_POINTER, struct template, id, 1, 63),
	CYAML_FIELD_INT("version", CYAML_FLAG_DEFAULT, struct template, version),
	CYAML_FIELD_STRING_PTR("title", CYAML_FLAG_POINTER, struct template, title, 1, 256),
	CYAML_FIELD_SEQUENCE_COUNT("roles", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct template, roles, n_roles, &text_schema, 1, 8),
	CYAML_FIELD_SEQUENCE_COUNT("tenants", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct template, tenants, n_tenants, &text_schema, 1, 256),
	CYAML_FIELD_INT("weight", CYAML_FLAG_OPTIONAL, struct template, weight),
	CYAML_FIELD_STRING_PTR("driver", CYAML_FLAG_POINTER, struct template, driver, 1, 32),
	CYAML_FIELD_STRING_PTR("class", CYAML_FLAG_POINTER, struct template, class, 1, 32),
	CYAML_FIELD_SEQUENCE("parameters", CYAML_FLAG_POINTER, struct template, parameters,
		&parameter_value_schema, 0, 32),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t document_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct template, template_fields),
};

/* Keeps the first message that libcyaml has: it holds line and column. */
__attribute__((format(printf, 3, 0))) static void keep_message(
	cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	char *message = ctx;

	if (level >= CYAML_LOG_ERROR && !*message)
		vsnprintf(message, 160, fmt, args);
}

static cyaml_config_t config_of(char message[160])
{
	return (cyaml_config_t) {
		.log_fn = keep_message,
		.log_ctx = message,
		.log_level = CYAML_LOG_ERROR,
		.mem_fn = cyaml_mem,
		.flags = CYAML_CFG_NO_ALIAS,
	};
}

int template_parse(const char *text, size_t len, const char *name, struct template **ret_template,
	struct err *err)
{
	char message[160] = "";
	const cyaml_config_t config = config_of(message);
	struct template *template = NULL;
	cyaml_err_t r = cyaml_load_data((const uint8_t *)text, len, &config, &document_schema,
		(cyaml_data_t **)&template, NULL);

	if (r == CYAML_OK && template) {
		*ret_template = template;
		return 0;
	}
	message[strcspn(message, "\n")] = '\0';
	return err_set(err, ERR_INVALID, "template.invalid", "%s: %s", name,
		*message ? message
			 : (r == CYAML_OK ? "there is nothing in it" : cyaml_strerror(r)));
}

void template_free(struct template *template)
{
	char message[160] = "";
	const cyaml_config_t config = config_of(message);

	if (template)
		cyaml_free(&config, &document_schema, template, 0);
}

void template_cleanup(struct template **template)
{
	template_free(*template);
}
