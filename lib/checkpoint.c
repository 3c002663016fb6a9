/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and reading checkpoints. A size has one spelling, a root one length. */
#include "lib/checkpoint.h"

#include <string.h>

#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_SIZE_DIGITS 16
#define MAX_SIZE (1ull << 53)

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_UNPROCESSABLE, "log.bad_checkpoint", "the checkpoint's %s", what);
}

/* The next line of [*at, end) without its newline. */
static bool next_line(const char **at, const char *end, const char **ret_line, size_t *ret_len)
{
	const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;

	if (!newline || newline == *at)
		return false;
	*ret_line = *at;
	*ret_len = (size_t)(newline - *at);
	*at = newline + 1;
	return true;
}

static bool read_size(const char *text, size_t len, unsigned long long *ret_size)
{
	unsigned long long size = 0;

	if (len == 0 || len > MAX_SIZE_DIGITS || (text[0] == '0' && len > 1))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		size = size * 10 + (unsigned long long)(text[i] - '0');
	}
	*ret_size = size;
	return size <= MAX_SIZE;
}

static bool read_root(const char *text, size_t len, struct merkle_hash *ret_root)
{
	auto_free unsigned char *raw = NULL;
	size_t raw_len;

	if (codec_b64_decode(text, len, &raw, &raw_len, NULL) < 0 || raw_len != DIGEST_SIZE)
		return false;
	memcpy(ret_root->bytes, raw, DIGEST_SIZE);
	return true;
}

int checkpoint_read(
	const char *note, size_t len, struct checkpoint *ret_checkpoint, struct err *err)
{
	struct checkpoint checkpoint = { .size = 0 };
	const char *at = note, *line;
	size_t text_len, line_len;

	if (note_text_len(note, len, &text_len, err) < 0)
		return -1;
	if (!next_line(&at, note + text_len, &line, &line_len) || line_len > NOTE_MAX_NAME)
		return bad(err, "first line is its origin");
	memcpy(checkpoint.origin, line, line_len);
	if (!next_line(&at, note + text_len, &line, &line_len) ||
		!read_size(line, line_len, &checkpoint.size))
		return bad(err, "second line is its size");
	if (!next_line(&at, note + text_len, &line, &line_len) ||
		!read_root(line, line_len, &checkpoint.root))
		return bad(err, "third line is its root");
	*ret_checkpoint = checkpoint;
	return 0;
}

int checkpoint_verify(const char *note, size_t len, const struct note_key *key,
	struct checkpoint *ret_checkpoint, struct err *err)
{
	struct checkpoint checkpoint;

	if (note_verify(note, len, key, NULL, err) < 0 ||
		checkpoint_read(note, len, &checkpoint, err) < 0)
		return -1;
	if (strcmp(checkpoint.origin, key->name) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "log.wrong_origin",
			"the checkpoint is of the log '%s'", checkpoint.origin);
	*ret_checkpoint = checkpoint;
	return 0;
}

char *checkpoint_sign(EVP_PKEY *private_key, const struct note_key *key,
	const struct checkpoint *checkpoint, struct err *err)
{
	auto_free char *root = codec_b64_text(checkpoint->root.bytes, DIGEST_SIZE);
	auto_free char *text =
		mem_printf("%s\n%llu\n%s\n", checkpoint->origin, checkpoint->size, root);
	auto_free char *line = note_signature(private_key, key, text, strlen(text), 0, err);

	return line ? mem_printf("%s\n%s", text, line) : NULL;
}

bool checkpoint_origin(const char *base_url, char ret_origin[NOTE_MAX_NAME + 1])
{
	const char *host = strstr(base_url, "://");
	size_t len = host ? strcspn(host + 3, "/") : 0;

	if (len == 0 || len + strlen("/audit") > NOTE_MAX_NAME)
		return false;
	snprintf(ret_origin, NOTE_MAX_NAME + 1, "%.*s/audit", (int)len, host + 3);
	return true;
}

json_t *checkpoint_head(const struct checkpoint *checkpoint)
{
	char root[DIGEST_TEXT_SIZE];

	digest_format(checkpoint->root.bytes, root);
	return json_pack(
		"{s:I,s:s}", "size", (json_int_t)checkpoint->size, "root", (const char *)root);
}

int checkpoint_head_read(const json_t *head, struct checkpoint *ret_checkpoint, struct err *err)
{
	const json_t *size = json_object_get(head, "size");
	const char *root = json_text(head, "root");
	struct checkpoint checkpoint = { .size = 0 };

	if (json_object_size(head) != 2 || !json_is_integer(size) || json_integer_value(size) < 0 ||
		!root || digest_parse(root, checkpoint.root.bytes, NULL) < 0)
		return err_set(err, ERR_UNPROCESSABLE, "log.bad_head",
			"a log head is {\"size\",\"root\"}");
	checkpoint.size = (unsigned long long)json_integer_value(size);
	*ret_checkpoint = checkpoint;
	return 0;
}
