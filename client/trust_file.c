/* SPDX-License-Identifier: Apache-2.0 */
/* Reading it, and choosing from it. */
#include "client/trust_file.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"

int trust_file_read(const char *path, json_t **ret_trust, struct err *err)
{
	auto_buf text = BUF_INIT(TRUST_FILE_MAX_BYTES);
	auto_json json_t *doc = NULL;
	const char *version;

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	doc = json_parse(text.data ? (char *)text.data : "", text.len, err);
	if (!doc)
		return err_wrap(err, "'%s'", path);
	version = json_text(doc, "v");
	if (!version || strcmp(version, "strongroom-trust-1") != 0 ||
		!json_text(doc, "edge_ca_spki") ||
		!json_is_object(json_object_get(doc, "templates")))
		return err_set(err, ERR_INVALID, "profile.trust_file",
			"'%s' is no strongroom-trust-1 file", path);
	*ret_trust = take_ptr(doc);
	return 0;
}

const json_t *trust_file_template(const json_t *trust, const char *template_id, struct err *err)
{
	const json_t *row = json_object_get(json_object_get(trust, "templates"), template_id);

	if (!row)
		err_set(err, ERR_FORBIDDEN, "trust.no_template",
			"the trust file does not name the template '%s'", template_id);
	return row;
}

/* A parameter as the plan has it, text or number; `otherwise` when it is not given. */
static long long parameter(const json_t *parameters, const char *name, long long otherwise)
{
	const json_t *value = json_object_get(parameters, name);

	if (json_is_string(value))
		return strtoll(json_string_value(value), NULL, 10);
	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static int choose_reference(const json_t *list, const json_t *parameters,
	struct reference *ret_reference, bool *ret_found, struct err *err)
{
	struct reference reference;
	const json_t *entry;
	size_t i;

	*ret_found = false;
	json_array_foreach (list, i, entry) {
		if (reference_decode(entry, &reference, err) < 0)
			return err_wrap(err, "trust file");
		if (*ret_found ||
			parameter(parameters, "memory_mib", reference.memory_mib) !=
				reference.memory_mib ||
			parameter(parameters, "vcpus", reference.vcpus) != reference.vcpus)
			continue;
		*ret_reference = reference;
		*ret_found = true;
	}
	return 0;
}

int trust_file_expect(const json_t *trust, const char *template_id, const json_t *parameters,
	struct trust_expect *expect, struct reference *ret_reference, struct err *err)
{
	const json_t *row = trust_file_template(trust, template_id, err);
	bool found = false;

	if (!row || choose_reference(json_object_get(row, "references"), parameters, ret_reference,
			    &found, err) < 0)
		return -1;
	expect->template_id = template_id;
	expect->template_version = json_integer_value(json_object_get(row, "version"));
	expect->edge_ca_spki = json_text(trust, "edge_ca_spki");
	expect->vtpm_ca = json_text(trust, "vtpm_ca");
	expect->reference = found ? ret_reference : NULL;
	return 0;
}
