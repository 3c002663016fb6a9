/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 4648 vectors, and every way in which a text is not the one spelling of its bytes. */
#include "lib/codec.h"

#include <stdlib.h>

#include "lib/id.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static void test_vectors(void)
{
	static const struct {
		const char *plain, *b64, *b64url;
	} vectors[] = { { "", "", "" }, { "f", "Zg==", "Zg" }, { "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" }, { "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" }, { "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		{ "\xfb\xff\xfe", "+//+", "-__-" } };

	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const char *plain = vectors[i].plain;
		auto_free char *b64 = codec_b64_text(plain, strlen(plain));
		auto_free char *url = codec_b64url_text(plain, strlen(plain));
		auto_free unsigned char *back = NULL, *back_url = NULL;
		size_t len = 99;

		CHECK_TEXT(b64, vectors[i].b64);
		CHECK_TEXT(url, vectors[i].b64url);
		CHECK_NUMBER(codec_b64_decode(b64, strlen(b64), &back, &len, NULL), 0);
		CHECK_NUMBER(len, strlen(plain));
		CHECK_TEXT((char *)back, plain);
		CHECK_NUMBER(codec_b64url_decode(url, strlen(url), &back_url, &len, NULL), 0);
		CHECK_NUMBER(len, strlen(plain));
		CHECK_TEXT((char *)back_url, plain);
	}
}

static void test_refusals(void)
{
	static const char *const bad[] = { "Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm8=\n",
		" Zm8=", "Zm-_", "Zg==Zg==", "Z", "Zm8==", "=Zm8", "Zm\xc3\xa4=" };
	static const char *const bad_url[] = { "Zg==", "Z", "Zh", "Zm9", "Zm+/", "Zm8\n", "Zm 8" };
	unsigned char *data = NULL;
	size_t len = 0;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(codec_b64_decode(bad[i], strlen(bad[i]), &data, &len, &err), &err,
			"encoding.base64");
	for (size_t i = 0; i < ARRAY_LEN(bad_url); i++)
		CHECK_FAILS(codec_b64url_decode(bad_url[i], strlen(bad_url[i]), &data, &len, &err),
			&err, "encoding.base64");
	CHECK_FAILS(codec_b64url_decode("Zm\0v", 4, &data, &len, &err), &err, "encoding.base64");
	CHECK(data == NULL);
}

static void test_round_trips(void)
{
	unsigned char bytes[100];

	for (size_t len = 0; len <= sizeof(bytes); len++) {
		auto_free unsigned char *back = NULL;
		auto_free char *text = NULL;
		unsigned char fixed[sizeof(bytes)];
		size_t got = 0;

		rand_bytes(bytes, len);
		text = codec_b64url_text(bytes, len);
		CHECK_NUMBER(codec_b64url_decode(text, strlen(text), &back, &got, NULL), 0);
		CHECK(got == len && memcmp(back, bytes, len) == 0);
		CHECK_NUMBER(codec_b64url_decode_fixed(text, fixed, len, NULL), 0);
		CHECK(memcmp(fixed, bytes, len) == 0);
	}
}

static void test_fixed(void)
{
	unsigned char two[2] = { 7, 7 };
	struct err err;

	CHECK_FAILS(codec_b64url_decode_fixed("Zm9v", two, 2, &err), &err, "encoding.base64");
	CHECK_FAILS(codec_b64url_decode_fixed("Zg", two, 2, &err), &err, "encoding.base64");
	CHECK(two[0] == 7 && two[1] == 7);
}

static void test_hex(void)
{
	unsigned char data[3] = { 0x00, 0xaf, 0xff }, back[3] = { 1, 1, 1 };
	static const char *const bad[] = { "00afe", "00AFFF", "00afff0", "00afg0", "", " 00aff" };
	char text[CODEC_HEX_SIZE(3)];
	struct err err;

	codec_hex(data, sizeof(data), text);
	CHECK_TEXT(text, "00afff");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(codec_hex_decode(bad[i], back, 3, &err), &err, "encoding.hex");
	CHECK(back[0] == 1);
	CHECK_NUMBER(codec_hex_decode(text, back, 3, &err), 0);
	CHECK(memcmp(data, back, 3) == 0);
}

int main(void)
{
	test_vectors();
	test_refusals();
	test_round_trips();
	test_fixed();
	test_hex();
	CHECK_DONE();
}
