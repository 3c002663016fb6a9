/* SPDX-License-Identifier: Apache-2.0 */
/* FIPS 180-4 and RFC 4231 vectors; the text form and what it refuses; files and streams agree. */
#include "lib/digest.h"

#include <unistd.h>

#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define OF_ABC "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define OF_NOTHING "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void test_vectors(void)
{
	char text[DIGEST_TEXT_SIZE];

	digest_text("abc", 3, text);
	CHECK_TEXT(text, OF_ABC);
	digest_text("", 0, text);
	CHECK_TEXT(text, OF_NOTHING);
}

static void test_stream(void)
{
	struct digest_stream *stream = digest_stream_new();
	char text[DIGEST_TEXT_SIZE];

	digest_stream_add(stream, "a", 1);
	digest_stream_add(stream, "", 0);
	digest_stream_add(stream, "bc", 2);
	digest_stream_finish_text(stream, text);
	digest_stream_free(stream);
	CHECK_TEXT(text, OF_ABC);
}

static void test_parse(void)
{
	static const char *const bad[] = { "", "sha256:", OF_ABC "0",
		"SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a" };
	unsigned char digest[DIGEST_SIZE] = { 0 };
	char text[DIGEST_TEXT_SIZE];
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(digest_parse(bad[i], digest, &err), &err, "digest.invalid");
	CHECK_NUMBER(digest[0], 0);
	CHECK_NUMBER(digest_parse(OF_ABC, digest, &err), 0);
	digest_format(digest, text);
	CHECK_TEXT(text, OF_ABC);
}

static void test_file(void)
{
	char path[] = "/tmp/test_digest.XXXXXX", text[DIGEST_TEXT_SIZE] = "untouched";
	auto_fd int fd = mkstemp(path);
	long long size = -1;
	struct err err;

	CHECK(fd >= 0);
	CHECK(write(fd, "abc", 3) == 3);
	CHECK_NUMBER(digest_file(path, text, &size, &err), 0);
	CHECK_TEXT(text, OF_ABC);
	CHECK_NUMBER(size, 3);
	unlink(path);
	CHECK_FAILS(digest_file(path, text, &size, &err), &err, "internal.system");
	CHECK_TEXT(text, OF_ABC);
}

static void test_hmac(void)
{
	unsigned char mac[DIGEST_SIZE];
	char hex[CODEC_HEX_SIZE(DIGEST_SIZE)];

	digest_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
	codec_hex(mac, sizeof(mac), hex);
	CHECK_TEXT(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	CHECK(digest_equal("same", "same", 4));
	CHECK(!digest_equal("same", "samf", 4));
}

int main(void)
{
	test_vectors();
	test_stream();
	test_parse();
	test_file();
	test_hmac();
	CHECK_DONE();
}
