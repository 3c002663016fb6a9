/* SPDX-License-Identifier: Apache-2.0 */
/* Streaming AEAD at every border of its segments; what is cut, moved, added or altered never ends
 * in finish() == 0. */
#include <stdlib.h>

#include "lib/buf.h"
#include "lib/id.h"
#include "lib/mem.h"
#include "lib/stream_aead.h"
#include "tests/unit/check.h"

#define SEGMENT (1024 * 1024)
#define HEADER 40
#define FIRST (SEGMENT - HEADER - 16)
#define LATER (SEGMENT - 16)
#define MAX (4 * SEGMENT)

static const unsigned char KEY[32] = { 7, 1, 2 };
static const char AAD[] = "{\"v\":\"test\"}";
static struct err err;

static int collect(void *arg, const void *data, size_t len, struct err *sink_err)
{
	return buf_add(arg, data, len, sink_err);
}

static int pass(struct stream_aead *stream, const unsigned char *data, size_t len, size_t step)
{
	int done = 0;

	for (size_t at = 0; done == 0 && at < len; at += step)
		done = stream_aead_add(stream, data + at, len - at < step ? len - at : step, &err);
	if (done == 0)
		done = stream_aead_finish(stream, &err);
	stream_aead_free(stream);
	return done;
}

static void seal(const unsigned char *plain, size_t len, size_t step, struct buf *out)
{
	CHECK(pass(stream_aead_encrypter(KEY, AAD, sizeof(AAD), collect, out), plain, len, step) ==
		0);
}

static int open(const unsigned char *data, size_t len, size_t step, struct buf *out)
{
	err_clear(&err);
	return pass(stream_aead_decrypter(KEY, AAD, sizeof(AAD), collect, out), data, len, step);
}

static unsigned char *make_plain(size_t len)
{
	unsigned char *plain = mem_alloc(len);

	rand_bytes(plain, len < 4096 ? len : 4096);
	for (size_t i = 4096; i < len; i++)
		plain[i] = (unsigned char)(plain[i - 4096] + i / 4096);
	return plain;
}

static void test_sizes(void)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 4096, FIRST - 1, FIRST, FIRST + 1,
		FIRST + LATER - 1, FIRST + LATER, FIRST + LATER + 1, FIRST + 2 * LATER };
	static const size_t steps[] = { 1000, 65536, SEGMENT, MAX };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		auto_free unsigned char *plain = make_plain(sizes[i]);
		auto_buf sealed = BUF_INIT(MAX), opened = BUF_INIT(MAX);

		seal(plain, sizes[i], steps[i % 4], &sealed);
		CHECK_NUMBER(sealed.len, stream_aead_size((long long)sizes[i]));
		CHECK_NUMBER(sealed.data[0], HEADER);
		CHECK(open(sealed.data, sealed.len, steps[(i + 1) % 4], &opened) == 0);
		CHECK_NUMBER(opened.len, sizes[i]);
		CHECK(sizes[i] == 0 || memcmp(opened.data, plain, sizes[i]) == 0);
	}
	CHECK_NUMBER(stream_aead_size(0), HEADER + 16);
	CHECK_NUMBER(stream_aead_size(FIRST), SEGMENT);
	CHECK_NUMBER(stream_aead_size(FIRST + 1), SEGMENT + 17);
}

static void expect(const unsigned char *data, size_t len, const char *code)
{
	auto_buf out = BUF_INIT(MAX);

	CHECK_FAILS(open(data, len, 65536, &out), &err, code);
}

static void test_cut(void)
{
	const size_t len = FIRST + LATER + 100;
	auto_free unsigned char *plain = make_plain(len), *longer = NULL;
	auto_buf sealed = BUF_INIT(MAX);

	seal(plain, len, 65536, &sealed);
	expect(sealed.data, 0, "aead.truncated");
	expect(sealed.data, 1, "aead.truncated");
	expect(sealed.data, HEADER - 1, "aead.truncated");
	expect(sealed.data, HEADER, "aead.truncated");
	expect(sealed.data, HEADER + 15, "aead.truncated");
	expect(sealed.data, HEADER + 16, "aead.tampered");
	expect(sealed.data, SEGMENT, "aead.truncated"); /* exactly at a border */
	expect(sealed.data, (size_t)2 * SEGMENT, "aead.truncated");
	expect(sealed.data, (size_t)2 * SEGMENT + 5, "aead.truncated");
	expect(sealed.data, sealed.len - 1, "aead.tampered");
	longer = mem_alloc(sealed.len + 1);
	memcpy(longer, sealed.data, sealed.len);
	expect(longer, sealed.len + 1, "aead.tampered");
}

static void test_moved(void)
{
	const size_t len = FIRST + 3 * LATER;
	auto_free unsigned char *plain = make_plain(len), *swap = mem_alloc(SEGMENT);
	auto_buf sealed = BUF_INIT(2 * MAX);
	unsigned char *second, *third;

	seal(plain, len, MAX, &sealed);
	CHECK_NUMBER(sealed.len, MAX);
	second = sealed.data + SEGMENT;
	third = second + SEGMENT;
	memcpy(swap, second, SEGMENT);
	memcpy(second, third, SEGMENT);
	memcpy(third, swap, SEGMENT);
	expect(sealed.data, sealed.len, "aead.tampered");
	memcpy(third, second, SEGMENT);
	memcpy(second, swap, SEGMENT);
	CHECK(sealed.len == MAX);
	/* the last segment once more behind itself */
	CHECK(buf_add(&sealed, sealed.data + 3 * SEGMENT, SEGMENT, &err) == 0);
	expect(sealed.data, sealed.len, "aead.tampered");
}

static void test_flipped(void)
{
	static const size_t places[] = { 0, 1, 32, 33, 39, 40, 41, 139, 155 };
	auto_free unsigned char *plain = make_plain(100);
	auto_buf sealed = BUF_INIT(MAX);

	seal(plain, 100, 7, &sealed);
	CHECK_NUMBER(sealed.len, 156);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		sealed.data[places[i]] ^= 0x80;
		expect(sealed.data, sealed.len, "aead.tampered");
		sealed.data[places[i]] ^= 0x80;
	}
	CHECK(open(sealed.data, sealed.len, 1, &(struct buf)BUF_INIT(0)) ==
		-1); /* the sink's own error */
	CHECK_TEXT(err.code, "limit.buffer");
}

static void test_wrong_key_or_purpose(void)
{
	static const unsigned char other[32] = { 8 };
	auto_free unsigned char *plain = make_plain(10);
	auto_buf sealed = BUF_INIT(MAX), out = BUF_INIT(MAX);

	seal(plain, 10, 10, &sealed);
	CHECK_FAILS(pass(stream_aead_decrypter(other, AAD, sizeof(AAD), collect, &out), sealed.data,
			    sealed.len, 100),
		&err, "aead.tampered");
	CHECK_FAILS(pass(stream_aead_decrypter(KEY, AAD, sizeof(AAD) - 1, collect, &out),
			    sealed.data, sealed.len, 100),
		&err, "aead.tampered");
	CHECK_FAILS(pass(stream_aead_decrypter(KEY, NULL, 0, collect, &out), sealed.data,
			    sealed.len, 100),
		&err, "aead.tampered");
	CHECK_NUMBER(out.len, 0);
}

static void test_use_after_end(void)
{
	auto_buf out = BUF_INIT(MAX);
	struct stream_aead *stream = stream_aead_encrypter(KEY, NULL, 0, collect, &out);

	CHECK(stream_aead_finish(stream, &err) == 0);
	CHECK_FAILS(stream_aead_add(stream, "x", 1, &err), &err, "aead.unusable");
	CHECK_FAILS(stream_aead_finish(stream, &err), &err, "aead.unusable");
	stream_aead_free(stream);
	stream_aead_free(NULL);
}

static void test_small(void)
{
	unsigned char *sealed = NULL, *opened = NULL;
	size_t len = 0, opened_len = 1;

	CHECK(small_aead_seal(KEY, "", 0, &sealed, &len, &err) == 0);
	CHECK_NUMBER(len, 28);
	CHECK(small_aead_open(KEY, sealed, len, &opened, &opened_len, &err) == 0);
	CHECK_NUMBER(opened_len, 0);
	free(opened);
	free(sealed);

	CHECK(small_aead_seal(KEY, "credentials", 11, &sealed, &len, &err) == 0);
	CHECK(small_aead_open(KEY, sealed, len, &opened, &opened_len, &err) == 0);
	CHECK(opened_len == 11 && memcmp(opened, "credentials", 11) == 0);
	free(opened);
	for (size_t i = 0; i < len; i++) {
		sealed[i] ^= 1;
		CHECK_FAILS(small_aead_open(KEY, sealed, len, &opened, &opened_len, &err), &err,
			"aead.tampered");
		sealed[i] ^= 1;
		CHECK_FAILS(small_aead_open(KEY, sealed, i, &opened, &opened_len, &err), &err,
			"aead.tampered");
	}
	free(sealed);
}

int main(void)
{
	test_sizes();
	test_cut();
	test_moved();
	test_flipped();
	test_wrong_key_or_purpose();
	test_use_after_end();
	test_small();
	CHECK_DONE();
}
