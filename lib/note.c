/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, lines and signatures of note.h. */
#include "lib/note.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/jose.h"
#include "lib/mem.h"

#define DASH "\xe2\x80\x94 " /* em dash, blank */
#define TYPE_ED25519 1
#define TYPE_COSIGNATURE 4
#define ID_BYTES 4u
#define TIME_BYTES 8u
#define SIGNATURE_BYTES 64u

static void context_cleanup(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}
#define auto_context __attribute__((cleanup(context_cleanup)))

/* --- keys --- */

static int bad_key(struct err *err, const char *why)
{
	return err_set(err, ERR_INVALID, "log.bad_key", "the log's key: %s", why);
}

static unsigned char type_of(const struct note_key *key)
{
	return key->is_witness ? TYPE_COSIGNATURE : TYPE_ED25519;
}

/* SHA-256(name, newline, type, key), its first four bytes. */
static void make_id(const struct note_key *key, unsigned char ret_id[ID_BYTES])
{
	struct digest_stream *stream = digest_stream_new();
	const unsigned char type = type_of(key);
	unsigned char digest[DIGEST_SIZE];

	digest_stream_add(stream, key->name, strlen(key->name));
	digest_stream_add(stream, "\n", 1);
	digest_stream_add(stream, &type, 1);
	digest_stream_add(stream, key->bytes, sizeof(key->bytes));
	digest_stream_finish(stream, digest);
	digest_stream_free(stream);
	memcpy(ret_id, digest, ID_BYTES);
}

/* Printable ASCII without blank and plus: more than the format asks for, and never ambiguous. */
static bool is_name(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '+')
			return false;
	}
	return len > 0 && len <= NOTE_MAX_NAME;
}

int note_key_parse(const char *text, struct note_key *ret_key, struct err *err)
{
	const char *id = strchr(text, '+'), *base64 = id ? strchr(id + 1, '+') : NULL;
	struct note_key key = { .is_witness = false };
	auto_free unsigned char *raw = NULL;
	unsigned char made[ID_BYTES];
	char hex[CODEC_HEX_SIZE(ID_BYTES)];
	size_t len;

	if (!base64 || base64 - id != sizeof(hex) || !is_name(text, (size_t)(id - text)))
		return bad_key(err, "it reads <name>+<id>+<key>");
	memcpy(key.name, text, (size_t)(id - text));
	snprintf(hex, sizeof(hex), "%s", id + 1);
	if (codec_hex_decode(hex, key.id, ID_BYTES, NULL) < 0 ||
		codec_b64_decode(base64 + 1, strlen(base64 + 1), &raw, &len, NULL) < 0 ||
		len != 1 + NOTE_KEY_BYTES)
		return bad_key(err, "it reads <name>+<id>+<key>");
	if (raw[0] != TYPE_ED25519 && raw[0] != TYPE_COSIGNATURE)
		return bad_key(err, "it is of another type than Ed25519");
	key.is_witness = raw[0] == TYPE_COSIGNATURE;
	memcpy(key.bytes, raw + 1, NOTE_KEY_BYTES);
	make_id(&key, made);
	if (memcmp(made, key.id, ID_BYTES) != 0)
		return bad_key(err, "its id is not that of its name and key");
	*ret_key = key;
	return 0;
}

int note_key_of(
	EVP_PKEY *key, const char *name, bool is_witness, struct note_key *ret_key, struct err *err)
{
	struct note_key made = { .is_witness = is_witness };
	size_t len = sizeof(made.bytes);

	if (!is_name(name, strlen(name)))
		return bad_key(err, "its name has a blank, a plus or too many characters");
	if (EVP_PKEY_base_id(key) != EVP_PKEY_ED25519 ||
		EVP_PKEY_get_raw_public_key(key, made.bytes, &len) != 1)
		return bad_key(err, "it is of another type than Ed25519");
	memcpy(made.name, name, strlen(name));
	make_id(&made, made.id);
	*ret_key = made;
	return 0;
}

char *note_key_text(const struct note_key *key)
{
	unsigned char raw[1 + NOTE_KEY_BYTES];
	char hex[CODEC_HEX_SIZE(ID_BYTES)];
	auto_free char *base64 = NULL;

	raw[0] = type_of(key);
	memcpy(raw + 1, key->bytes, NOTE_KEY_BYTES);
	codec_hex(key->id, ID_BYTES, hex);
	base64 = codec_b64_text(raw, sizeof(raw));
	return mem_printf("%s+%s+%s", key->name, hex, base64);
}

/* --- reading --- */

static int bad_note(struct err *err)
{
	return err_set(err, ERR_UNPROCESSABLE, "log.bad_note", "this is not a signed note");
}

int note_text_len(const char *note, size_t len, size_t *ret_len, struct err *err)
{
	size_t at = len;

	if (len < 4 || len > NOTE_MAX_BYTES || memchr(note, 0, len) || note[len - 1] != '\n')
		return bad_note(err);
	while (at >= 2 && !(note[at - 1] == '\n' && note[at - 2] == '\n'))
		at--;
	if (at < 2 || at == len)
		return bad_note(err);
	*ret_len = at - 1;
	return 0;
}

/* Decodes a line "— name base64" of this key; false: it is another's. */
static bool read_line(const char *line, size_t len, const struct note_key *key,
	unsigned char **ret_signature, size_t *ret_len)
{
	const size_t dash = strlen(DASH), name = strlen(key->name);
	auto_free unsigned char *raw = NULL;
	size_t raw_len;

	if (len < dash + name + 1 || memcmp(line, DASH, dash) != 0 ||
		memcmp(line + dash, key->name, name) != 0 || line[dash + name] != ' ')
		return false;
	if (codec_b64_decode(line + dash + name + 1, len - dash - name - 1, &raw, &raw_len, NULL) <
			0 ||
		raw_len < ID_BYTES || memcmp(raw, key->id, ID_BYTES) != 0)
		return false;
	*ret_len = raw_len - ID_BYTES;
	*ret_signature = mem_alloc(*ret_len + 1);
	memcpy(*ret_signature, raw + ID_BYTES, *ret_len);
	return true;
}

/* What is signed: the text, or a witness's time and the text. */
static void signed_bytes(
	struct buf *bytes, bool is_witness, long long time, const char *text, size_t len)
{
	if (is_witness)
		(void)buf_printf(bytes, NULL, "cosignature/v1\ntime %lld\n", time);
	(void)buf_add(bytes, text, len, NULL);
}

static bool is_signed(
	const struct note_key *key, const unsigned char *signature, const struct buf *bytes)
{
	auto_key EVP_PKEY *pkey =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, sizeof(key->bytes));
	auto_context EVP_MD_CTX *context = EVP_MD_CTX_new();

	return pkey && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) == 1 &&
	       EVP_DigestVerify(context, signature, SIGNATURE_BYTES, bytes->data, bytes->len) == 1;
}

static int check(const struct note_key *key, const unsigned char *signature, size_t signature_len,
	const char *text, size_t len, long long *ret_time, struct err *err)
{
	size_t skip = key->is_witness ? TIME_BYTES : 0;
	auto_buf bytes = BUF_INIT(NOTE_MAX_BYTES + 64);
	unsigned long long time = 0;

	for (size_t i = 0; i < skip && i < signature_len; i++)
		time = time << 8 | signature[i];
	signed_bytes(&bytes, key->is_witness, (long long)time, text, len);
	if (signature_len != skip + SIGNATURE_BYTES || time >> 63 ||
		!is_signed(key, signature + skip, &bytes))
		return err_set(err, ERR_UNPROCESSABLE, "log.wrong_signature",
			"the signature of '%s' does not fit", key->name);
	if (ret_time)
		*ret_time = (long long)time;
	return 0;
}

int note_verify(const char *note, size_t len, const struct note_key *key, long long *ret_time,
	struct err *err)
{
	size_t text_len;

	if (note_text_len(note, len, &text_len, err) < 0)
		return -1;
	for (const char *line = note + text_len + 1; line < note + len;) {
		const char *end = memchr(line, '\n', (size_t)(note + len - line));
		auto_free unsigned char *signature = NULL;
		size_t signature_len;

		if (end && read_line(line, (size_t)(end - line), key, &signature, &signature_len))
			return check(key, signature, signature_len, note, text_len, ret_time, err);
		line = end ? end + 1 : note + len;
	}
	return err_set(
		err, ERR_UNPROCESSABLE, "log.unsigned", "'%s' has not signed this", key->name);
}

/* --- signing --- */

char *note_signature(EVP_PKEY *private_key, const struct note_key *key, const char *text,
	size_t len, long long time, struct err *err)
{
	size_t skip = key->is_witness ? TIME_BYTES : 0, signature_len = SIGNATURE_BYTES;
	unsigned char raw[ID_BYTES + TIME_BYTES + SIGNATURE_BYTES];
	auto_context EVP_MD_CTX *context = EVP_MD_CTX_new();
	auto_buf bytes = BUF_INIT(NOTE_MAX_BYTES + 64);
	auto_free char *base64 = NULL;

	memcpy(raw, key->id, ID_BYTES);
	for (size_t i = 0; i < skip; i++)
		raw[ID_BYTES + i] =
			(unsigned char)((unsigned long long)time >> 8 * (TIME_BYTES - 1 - i));
	signed_bytes(&bytes, key->is_witness, time, text, len);
	if (!context || EVP_DigestSignInit(context, NULL, NULL, NULL, private_key) != 1 ||
		EVP_DigestSign(context, raw + ID_BYTES + skip, &signature_len, bytes.data,
			bytes.len) != 1) {
		err_set(err, ERR_INTERNAL, "internal.crypto", "cannot sign a note");
		return NULL;
	}
	base64 = codec_b64_text(raw, ID_BYTES + skip + SIGNATURE_BYTES);
	return mem_printf(DASH "%s %s\n", key->name, base64);
}
