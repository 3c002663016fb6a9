/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hex and the two base64 alphabets of codec.h. Decoding accepts exactly what encoding makes: a
 * length that cannot occur, a foreign character or a non-zero spare bit is an error, so one value
 * has one spelling.
 */
#include "lib/codec.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

#define LINE 64

static const char hex_digits[] = "0123456789abcdef";
static const char b64_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64url_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void codec_hex(const void *data, size_t len, char *ret_text)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++) {
		*ret_text++ = hex_digits[bytes[i] >> 4];
		*ret_text++ = hex_digits[bytes[i] & 15];
	}
	*ret_text = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int codec_hex_decode(const char *text, void *ret_data, size_t len, struct err *err)
{
	unsigned char *out = ret_data;

	if (strlen(text) != 2 * len || strspn(text, hex_digits) != 2 * len)
		return err_set(
			err, ERR_INVALID, "encoding.hex", "not %zu lower-case hex digits", 2 * len);
	for (size_t i = 0; i < len; i++)
		out[i] = (unsigned char)(hex_value(text[2 * i]) * 16 + hex_value(text[2 * i + 1]));
	return 0;
}

static char *encode(const char *alphabet, bool pad, const void *data, size_t len)
{
	const unsigned char *in = data;
	char *text = mem_alloc(CODEC_B64_SIZE(len));
	char *out = text;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t group = (uint32_t)in[i] << 16;

		if (left > 1)
			group |= (uint32_t)in[i + 1] << 8;
		if (left > 2)
			group |= in[i + 2];
		*out++ = alphabet[group >> 18];
		*out++ = alphabet[group >> 12 & 63];
		if (left > 1 || pad)
			*out++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
		if (left > 2 || pad)
			*out++ = left > 2 ? alphabet[group & 63] : '=';
	}
	return text;
}

char *codec_b64_text(const void *data, size_t len)
{
	return encode(b64_alphabet, true, data, len);
}

char *codec_b64url_text(const void *data, size_t len)
{
	return encode(b64url_alphabet, false, data, len);
}

char *codec_b64_lines(const void *data, size_t len)
{
	auto_free char *text = codec_b64_text(data, len);
	size_t total = strlen(text);
	char *lines = mem_alloc(total + total / LINE + 2), *end = lines;

	for (size_t at = 0, part; at < total; at += part) {
		part = total - at < LINE ? total - at : LINE;
		memcpy(end, text + at, part);
		end[part] = '\n';
		end += part + 1;
	}
	return lines; /* zeroed by mem_alloc() */
}

static void reverse(const char *alphabet, unsigned char ret_table[256])
{
	memset(ret_table, 0xff, 256);
	for (unsigned i = 0; i < 64; i++)
		ret_table[(unsigned char)alphabet[i]] = (unsigned char)i;
}

/* `len` characters without padding; false unless they are the one spelling of some bytes. */
static bool decode_into(const char *alphabet, const char *text, size_t len, unsigned char *out)
{
	unsigned char table[256];
	uint32_t bits = 0;
	unsigned n_bits = 0;

	if (len % 4 == 1)
		return false;
	reverse(alphabet, table);
	for (size_t i = 0; i < len; i++) {
		unsigned value = table[(unsigned char)text[i]];

		if (value == 0xff)
			return false;
		bits = (bits << 6 | value) & 0xffff;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			*out++ = (unsigned char)(bits >> n_bits);
		}
	}
	return (bits & ((1u << n_bits) - 1)) == 0;
}

static int decode(const char *alphabet, const char *text, size_t len, unsigned char **ret_data,
	size_t *ret_len, struct err *err)
{
	size_t size = len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0);
	unsigned char *data = mem_alloc(size + 1);

	if (!decode_into(alphabet, text, len, data)) {
		mem_wipe_free(data, size);
		return err_set(err, ERR_INVALID, "encoding.base64", "not strict base64");
	}
	*ret_data = data;
	*ret_len = size;
	return 0;
}

int codec_b64_decode(const char *text, size_t text_len, unsigned char **ret_data, size_t *ret_len,
	struct err *err)
{
	size_t len = text_len;

	if (text_len % 4 != 0)
		return err_set(err, ERR_INVALID, "encoding.base64", "not padded to 4 characters");
	while (len > 0 && text_len - len < 2 && text[len - 1] == '=')
		len--;
	return decode(b64_alphabet, text, len, ret_data, ret_len, err);
}

int codec_b64url_decode(const char *text, size_t text_len, unsigned char **ret_data,
	size_t *ret_len, struct err *err)
{
	return decode(b64url_alphabet, text, text_len, ret_data, ret_len, err);
}

int codec_b64url_decode_fixed(const char *text, void *ret_data, size_t len, struct err *err)
{
	unsigned char *data = NULL;
	size_t got = 0;

	if (decode(b64url_alphabet, text, strlen(text), &data, &got, err) < 0)
		return -1;
	if (got == len)
		memcpy(ret_data, data, len);
	mem_wipe_free(data, got);
	if (got != len)
		return err_set(err, ERR_INVALID, "encoding.base64",
			"base64url of %zu bytes where %zu are due", got, len);
	return 0;
}
