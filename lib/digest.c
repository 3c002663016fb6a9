/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 and HMAC-SHA-256 on OpenSSL's EVP; a failure inside the provider aborts, as memory does.
 */
#include "lib/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/codec.h"
#include "lib/mem.h"

#define PREFIX "sha256:"
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define CHUNK_BYTES 65536u

struct digest_stream {
	EVP_MD_CTX *ctx;
};

static void must(int ok)
{
	if (ok != 1)
		abort();
}

/* Fetched once: EVP_sha256() is looked up in the provider at each use. */
static EVP_MD *fetched;

static void fetch_sha256(void)
{
	fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
	must(fetched != NULL);
}

static const EVP_MD *sha256(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fetch_sha256);
	return fetched;
}

void digest_sha256(const void *data, size_t len, unsigned char ret_digest[DIGEST_SIZE])
{
	must(EVP_Digest(data, len, ret_digest, NULL, sha256(), NULL));
}

void digest_format(const unsigned char digest[DIGEST_SIZE], char ret_text[DIGEST_TEXT_SIZE])
{
	memcpy(ret_text, PREFIX, PREFIX_LEN);
	codec_hex(digest, DIGEST_SIZE, ret_text + PREFIX_LEN);
}

void digest_text(const void *data, size_t len, char ret_text[DIGEST_TEXT_SIZE])
{
	unsigned char digest[DIGEST_SIZE];

	digest_sha256(data, len, digest);
	digest_format(digest, ret_text);
}

int digest_parse(const char *text, unsigned char ret_digest[DIGEST_SIZE], struct err *err)
{
	if (strncmp(text, PREFIX, PREFIX_LEN) != 0 ||
		codec_hex_decode(text + PREFIX_LEN, ret_digest, DIGEST_SIZE, NULL) < 0)
		return err_set(err, ERR_INVALID, "digest.invalid",
			"not 'sha256:' and 64 lower-case hex digits");
	return 0;
}

static int add_file(struct digest_stream *stream, int fd, long long *ret_size)
{
	auto_free unsigned char *chunk = mem_alloc(CHUNK_BYTES);
	ssize_t got;

	while ((got = read(fd, chunk, CHUNK_BYTES)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		digest_stream_add(stream, chunk, (size_t)got);
		*ret_size += got;
	}
	return 0;
}

int digest_file(
	const char *path, char ret_text[DIGEST_TEXT_SIZE], long long *ret_size, struct err *err)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct digest_stream *stream;
	long long size = 0;
	int result;

	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	stream = digest_stream_new();
	result = add_file(stream, fd, &size);
	if (result < 0) {
		err_errno(err, "read '%s'", path);
	} else {
		digest_stream_finish_text(stream, ret_text);
		if (ret_size)
			*ret_size = size;
	}
	digest_stream_free(stream);
	return result;
}

struct digest_stream *digest_stream_new(void)
{
	struct digest_stream *stream = mem_alloc(sizeof(*stream));

	stream->ctx = EVP_MD_CTX_new();
	must(stream->ctx != NULL);
	must(EVP_DigestInit_ex(stream->ctx, sha256(), NULL));
	return stream;
}

void digest_stream_free(struct digest_stream *stream)
{
	if (!stream)
		return;
	EVP_MD_CTX_free(stream->ctx);
	free(stream);
}

void digest_stream_add(struct digest_stream *stream, const void *data, size_t len)
{
	must(EVP_DigestUpdate(stream->ctx, data, len));
}

void digest_stream_finish(struct digest_stream *stream, unsigned char ret_digest[DIGEST_SIZE])
{
	must(EVP_DigestFinal_ex(stream->ctx, ret_digest, NULL));
}

void digest_stream_finish_text(struct digest_stream *stream, char ret_text[DIGEST_TEXT_SIZE])
{
	unsigned char digest[DIGEST_SIZE];

	digest_stream_finish(stream, digest);
	digest_format(digest, ret_text);
}

void digest_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
	unsigned char ret_mac[DIGEST_SIZE])
{
	must(HMAC(EVP_sha256(), key, (int)key_len, data, len, ret_mac, NULL) != NULL);
}

bool digest_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}
