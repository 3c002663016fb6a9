/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at JOSE objects before any key or library is let near them. */
#include "lib/jose_shape.h"

#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"

static bool is_in(const char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

bool jose_shape_is(const json_t *object, const char *const *required, const char *const *optional)
{
	json_t *value;
	const char *name;

	if (!json_is_object(object))
		return false;
	json_object_foreach ((json_t *)object, name, value) {
		if (!is_in(required, name) && !is_in(optional, name))
			return false;
	}
	for (; required && *required; required++)
		if (!json_object_get(object, *required))
			return false;
	return true;
}

int jose_shape_decode(
	const char *text, size_t len, size_t max, json_t **ret_object, struct err *err)
{
	unsigned char *data = NULL;
	json_t *object = NULL;
	size_t data_len = 0;

	if (len > max)
		return err_set(
			err, ERR_TOO_LARGE, "jose.too_large", "a part is longer than %zu", max);
	if (codec_b64url_decode(text, len, &data, &data_len, err) < 0)
		return err_set(err, ERR_INVALID, "jose.shape", "a part is not base64url");
	object = json_parse((const char *)data, data_len, err);
	mem_wipe_free(data, data_len);
	if (!json_is_object(object)) {
		json_decref(object);
		return err_set(err, ERR_INVALID, "jose.shape", "a part is not a JSON object");
	}
	*ret_object = object;
	return 0;
}

int jose_shape_header(const json_t *envelope, json_t **ret_header, struct err *err)
{
	const json_t *text = json_object_get(envelope, "protected");

	if (!json_is_string(text))
		return err_set(err, ERR_INVALID, "jose.shape", "there is no protected header");
	return jose_shape_decode(json_string_value(text), json_string_length(text), JOSE_MAX_HEADER,
		ret_header, err);
}

int jose_shape_texts(const json_t *object, const char *const *names, size_t max, struct err *err)
{
	for (; names && *names; names++) {
		const json_t *value = json_object_get(object, *names);

		if (!json_is_string(value))
			return err_set(
				err, ERR_INVALID, "jose.shape", "'%s' is not a text", *names);
		if (json_string_length(value) > max)
			return err_set(
				err, ERR_TOO_LARGE, "jose.too_large", "'%s' is too long", *names);
	}
	return 0;
}
