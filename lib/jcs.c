/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON texts out of values: in the order in which members were set, for answers,
 * or as RFC 8785 wants it (and no fractions), for what is hashed and signed. There, members are
 * ordered by UTF-16 code units; on UTF-8 bytes that is byte order, but that U+E000..U+FFFF (lead
 * bytes EE, EF) come behind the planes above (F0..F4).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"

#define USUAL_SIZE 1000 /* of an answer */
#define MAX_INTEGER ((1LL << 53) - 1)

struct writer {
	struct buf buf;
	bool canonical;
};

struct member {
	const char *name;
	size_t len;
	const json_t *value;
};

static int put_value(struct writer *out, const json_t *value, int depth, struct err *err);

static int utf16_rank(unsigned char byte)
{
	return byte == 0xee || byte == 0xef ? byte + 0x10 : byte;
}

static int by_utf16(const void *left, const void *right)
{
	const struct member *a = left, *b = right;
	size_t shared = a->len < b->len ? a->len : b->len;

	for (size_t i = 0; i < shared; i++) {
		if (a->name[i] != b->name[i])
			return utf16_rank((unsigned char)a->name[i]) -
			       utf16_rank((unsigned char)b->name[i]);
	}
	return (a->len > b->len) - (a->len < b->len);
}

static int put_escape(struct buf *out, unsigned char c, struct err *err)
{
	static const char shorts[] = "\bb\tt\nn\ff\rr\"\"\\\\";

	for (const char *pair = shorts; *pair; pair += 2) {
		if ((unsigned char)pair[0] == c)
			return buf_printf(out, err, "\\%c", pair[1]);
	}
	return buf_printf(out, err, "\\u%04x", c);
}

/* How many bytes from here on stand for themselves. */
static size_t plain_len(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && (unsigned char)text[i] >= ' ' && text[i] != '"' && text[i] != '\\')
		i++;
	return i;
}

static int put_text(struct buf *out, const char *text, size_t len, struct err *err)
{
	size_t plain = plain_len(text, len);

	if (buf_reserve(out, len + 2, err) < 0)
		return -1;
	out->data[out->len++] = '"';
	while (plain < len) {
		if (buf_add(out, text, plain, err) < 0 ||
			put_escape(out, (unsigned char)text[plain], err) < 0)
			return -1;
		text += plain + 1;
		len -= plain + 1;
		plain = plain_len(text, len);
	}
	if (buf_add(out, text, plain, err) < 0)
		return -1;
	return buf_add(out, "\"", 1, err);
}

static struct member *members_of(const json_t *object, size_t count, bool sorted)
{
	struct member *members = mem_array(count, sizeof(*members));
	void *iter = json_object_iter((json_t *)object);

	for (size_t i = 0; i < count; i++) {
		members[i].name = json_object_iter_key(iter);
		members[i].len = json_object_iter_key_len(iter);
		members[i].value = json_object_iter_value(iter);
		iter = json_object_iter_next((json_t *)object, iter);
	}
	if (sorted)
		qsort(members, count, sizeof(*members), by_utf16);
	return members;
}

static int put_object(struct writer *out, const json_t *object, int depth, struct err *err)
{
	size_t count = json_object_size(object);
	auto_free struct member *members = members_of(object, count, out->canonical);

	if (buf_add(&out->buf, "{", 1, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if ((i > 0 && buf_add(&out->buf, ",", 1, err) < 0) ||
			put_text(&out->buf, members[i].name, members[i].len, err) < 0 ||
			buf_add(&out->buf, ":", 1, err) < 0 ||
			put_value(out, members[i].value, depth, err) < 0)
			return -1;
	}
	return buf_add(&out->buf, "}", 1, err);
}

static int put_array(struct writer *out, const json_t *array, int depth, struct err *err)
{
	json_t *value;
	size_t i;

	if (buf_add(&out->buf, "[", 1, err) < 0)
		return -1;
	json_array_foreach (array, i, value) {
		if ((i > 0 && buf_add(&out->buf, ",", 1, err) < 0) ||
			put_value(out, value, depth, err) < 0)
			return -1;
	}
	return buf_add(&out->buf, "]", 1, err);
}

static int put_integer(struct writer *out, json_int_t number, struct err *err)
{
	char text[24];
	int len;

	if (out->canonical && (number < -MAX_INTEGER || number > MAX_INTEGER))
		return err_set(
			err, ERR_INVALID, "json.not_canonical", "an integer is beyond 2^53-1");
	len = snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, number);
	return buf_add(&out->buf, text, (size_t)len, err);
}

static int put_real(struct writer *out, const json_t *value, struct err *err)
{
	auto_free char *text = NULL;

	if (out->canonical)
		return err_set(err, ERR_INVALID, "json.not_canonical", "a number has a fraction");
	text = json_dumps(value, JSON_ENCODE_ANY);
	return buf_add_text(&out->buf, text, err);
}

static int put_value(struct writer *out, const json_t *value, int depth, struct err *err)
{
	if (!value)
		return err_set(err, ERR_INVALID, "json.not_canonical", "no value");
	if ((json_is_object(value) || json_is_array(value)) && ++depth > JSON_MAX_DEPTH &&
		out->canonical)
		return err_set(err, ERR_INVALID, "json.not_canonical", "nested more than %d deep",
			JSON_MAX_DEPTH);
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return put_object(out, value, depth, err);
	case JSON_ARRAY:
		return put_array(out, value, depth, err);
	case JSON_STRING:
		return put_text(
			&out->buf, json_string_value(value), json_string_length(value), err);
	case JSON_INTEGER:
		return put_integer(out, json_integer_value(value), err);
	case JSON_TRUE:
		return buf_add_text(&out->buf, "true", err);
	case JSON_FALSE:
		return buf_add_text(&out->buf, "false", err);
	case JSON_NULL:
		return buf_add_text(&out->buf, "null", err);
	case JSON_REAL:
		return put_real(out, value, err);
	}
	abort();
}

char *json_encode(const json_t *value, size_t *ret_len)
{
	struct writer out = { .buf = BUF_INIT(SIZE_MAX) };

	if (buf_reserve(&out.buf, USUAL_SIZE, NULL) < 0 || put_value(&out, value, 0, NULL) < 0)
		abort();
	*ret_len = out.buf.len;
	return (char *)out.buf.data;
}

int jcs_encode(const json_t *value, char **ret_text, size_t *ret_len, struct err *err)
{
	struct writer out = { .buf = BUF_INIT(4 * (size_t)JSON_MAX_SIZE), .canonical = true };

	if (put_value(&out, value, 0, err) < 0) {
		buf_release(&out.buf);
		return -1;
	}
	if (ret_len)
		*ret_len = out.buf.len;
	*ret_text = (char *)out.buf.data;
	return 0;
}

int jcs_parse(const char *text, size_t len, const char *code, const char *what, json_t **ret_value,
	struct err *err)
{
	auto_json json_t *value = json_parse(text, len, err);
	auto_free char *canonical = NULL;
	size_t canonical_len = 0;

	if (!value || jcs_encode(value, &canonical, &canonical_len, err) < 0)
		return -1;
	if (canonical_len != len || memcmp(canonical, text, len) != 0)
		return err_set(err, ERR_INVALID, code,
			"the %s's bytes are not its canonical form (RFC 8785)", what);
	*ret_value = take_ptr(value);
	return 0;
}

int jcs_digest(const json_t *value, char ret_text[DIGEST_TEXT_SIZE], struct err *err)
{
	char *text = NULL;
	size_t len = 0;

	if (jcs_encode(value, &text, &len, err) < 0)
		return -1;
	digest_text(text, len, ret_text);
	mem_wipe_free(text, len);
	return 0;
}
