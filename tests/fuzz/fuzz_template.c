/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A template's YAML as an operator sends it, and parameters for it: the first line is the
 * parameters' JSON, the rest the document. What is let through completes its own defaults, and what
 * it completes is within its own schema.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "services/provisioner/templates.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check(const struct template *template, const json_t *given)
{
	auto_json json_t *schema = template_schema(template), *defaults = NULL, *complete = NULL;
	struct sandbox sandbox = { 0 };

	must(schema && template_complete(template, NULL, &defaults, NULL) == 0);
	must(json_object_size(defaults) == template->parameters_count);
	must(json_object_size(json_object_get(schema, "properties")) == template->parameters_count);
	if (template_complete(template, given, &complete, NULL) < 0)
		return;
	must(json_object_size(complete) == template->parameters_count);
	template_takes(template, complete, &sandbox);
	must(sandbox.weight > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	auto_template struct template *template = NULL;
	auto_json json_t *given = NULL;
	struct err err = { .kind = ERR_NONE };
	const char *text;

	if (!end)
		return 0;
	text = (const char *)end + 1;
	given = json_parse((const char *)data, (size_t)(end - data), NULL);
	if (template_parse(text, size - (size_t)(end + 1 - data), "document", &template, &err) <
			0 ||
		template_check(template, "document", &err) < 0) {
		must(strcmp(err.code, "template.invalid") == 0);
		return 0;
	}
	check(template, json_is_object(given) ? given : NULL);
	return 0;
}
