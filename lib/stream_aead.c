/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tink's AES256_GCM_HKDF_1MB. A full segment is held back until another byte or the end comes,
 * since only then it is known whether its nonce carries the mark of the last one; that mark is what
 * makes a cut at a border visible.
 */
#include "lib/stream_aead.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/id.h"
#include "lib/mem.h"

#define SEGMENT (1024u * 1024)
#define SALT 32u
#define PREFIX 7u
#define HEADER (1 + SALT + PREFIX)
#define NONCE 12u
#define TAG 16u

struct stream_aead {
	bool encrypting, broken, keyed;
	stream_aead_sink *sink;
	void *arg;
	EVP_CIPHER_CTX *ctx;
	unsigned char key[STREAM_AEAD_KEY_SIZE];
	unsigned char prefix[PREFIX];
	unsigned char *aad;
	size_t aad_len;
	unsigned char *in, *out; /* one segment each */
	size_t filled;
	uint64_t segment;
};

static struct stream_aead *make(const unsigned char *key, const void *aad, size_t aad_len,
	stream_aead_sink *sink, void *arg)
{
	struct stream_aead *stream = mem_alloc(sizeof(*stream));

	stream->sink = sink;
	stream->arg = arg;
	stream->aad = mem_dup(aad, aad_len);
	stream->aad_len = aad_len;
	memcpy(stream->key, key, STREAM_AEAD_KEY_SIZE);
	stream->in = mem_alloc(SEGMENT);
	stream->out = mem_alloc(SEGMENT);
	return stream;
}

struct stream_aead *stream_aead_encrypter(const unsigned char key[STREAM_AEAD_KEY_SIZE],
	const void *aad, size_t aad_len, stream_aead_sink *sink, void *arg)
{
	struct stream_aead *stream = make(key, aad, aad_len, sink, arg);

	stream->encrypting = true;
	return stream;
}

struct stream_aead *stream_aead_decrypter(const unsigned char key[STREAM_AEAD_KEY_SIZE],
	const void *aad, size_t aad_len, stream_aead_sink *sink, void *arg)
{
	return make(key, aad, aad_len, sink, arg);
}

void stream_aead_free(struct stream_aead *stream)
{
	if (!stream)
		return;
	EVP_CIPHER_CTX_free(stream->ctx); /* wipes its key */
	free(stream->aad);
	mem_wipe_free(stream->in, SEGMENT);
	mem_wipe_free(stream->out, SEGMENT);
	mem_wipe_free(stream, sizeof(*stream));
}

long long stream_aead_size(long long plain_size)
{
	const long long first = SEGMENT - HEADER - TAG, later = SEGMENT - TAG;
	long long segments = 1;

	if (plain_size > first)
		segments += (plain_size - first + later - 1) / later;
	return HEADER + plain_size + segments * TAG;
}

static int crypto_failed(struct stream_aead *stream, struct err *err)
{
	ERR_clear_error();
	stream->broken = true;
	return err_set(err, ERR_INTERNAL, "internal.crypto", "AES-GCM or HKDF failed");
}

static int tampered(struct stream_aead *stream, const char *code, const char *what, struct err *err)
{
	ERR_clear_error();
	stream->broken = true;
	return err_set(err, ERR_UNPROCESSABLE, code, "%s", what);
}

/* --- header: the stream's own key --- */

static int derive(struct stream_aead *stream, const unsigned char *salt)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	char sha256[] = "SHA256";
	unsigned char derived[STREAM_AEAD_KEY_SIZE];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_KEY, stream->key, sizeof(stream->key)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, SALT),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_INFO, stream->aad, stream->aad_len),
		OSSL_PARAM_construct_end(),
	};
	bool good = ctx && EVP_KDF_derive(ctx, derived, sizeof(derived), params) == 1;

	stream->ctx = EVP_CIPHER_CTX_new();
	good = good && stream->ctx &&
	       EVP_CipherInit_ex(stream->ctx, EVP_aes_256_gcm(), NULL, derived, NULL,
		       stream->encrypting) == 1;
	explicit_bzero(derived, sizeof(derived));
	explicit_bzero(stream->key, sizeof(stream->key));
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return good ? 0 : -1;
}

static int write_header(struct stream_aead *stream, struct err *err)
{
	unsigned char header[HEADER] = { HEADER };

	rand_bytes(header + 1, SALT + PREFIX);
	memcpy(stream->prefix, header + 1 + SALT, PREFIX);
	if (derive(stream, header + 1) < 0)
		return crypto_failed(stream, err);
	stream->keyed = true;
	return stream->sink(stream->arg, header, sizeof(header), err);
}

static int read_header(struct stream_aead *stream, struct err *err)
{
	if (stream->in[0] != HEADER)
		return tampered(stream, "aead.tampered", "not a stream of this format", err);
	memcpy(stream->prefix, stream->in + 1 + SALT, PREFIX);
	if (derive(stream, stream->in + 1) < 0)
		return crypto_failed(stream, err);
	stream->keyed = true;
	stream->filled = 0;
	return 0;
}

/* --- segments --- */

/* Bytes that fill the segment at hand: the first one shares its megabyte with the header. */
static size_t capacity(const struct stream_aead *stream)
{
	size_t size = stream->segment == 0 ? SEGMENT - HEADER : SEGMENT;

	if (!stream->encrypting && !stream->keyed)
		return HEADER;
	return stream->encrypting ? size - TAG : size;
}

static void make_nonce(const struct stream_aead *stream, bool last, unsigned char nonce[NONCE])
{
	memcpy(nonce, stream->prefix, PREFIX);
	for (unsigned i = 0; i < 4; i++)
		nonce[PREFIX + i] = (unsigned char)(stream->segment >> (24 - 8 * i));
	nonce[NONCE - 1] = last;
}

static int seal_segment(struct stream_aead *stream, bool last, size_t *ret_len, struct err *err)
{
	unsigned char nonce[NONCE];
	int len = 0, rest = 0;

	make_nonce(stream, last, nonce);
	if (EVP_CipherInit_ex(stream->ctx, NULL, NULL, NULL, nonce, 1) != 1 ||
		EVP_CipherUpdate(stream->ctx, stream->out, &len, stream->in, (int)stream->filled) !=
			1 ||
		EVP_CipherFinal_ex(stream->ctx, stream->out + len, &rest) != 1 ||
		EVP_CIPHER_CTX_ctrl(stream->ctx, EVP_CTRL_AEAD_GET_TAG, TAG, stream->out + len) !=
			1)
		return crypto_failed(stream, err);
	*ret_len = (size_t)len + TAG;
	return 0;
}

static bool opens(struct stream_aead *stream, bool last)
{
	size_t cipher_len = stream->filled - TAG;
	unsigned char nonce[NONCE];
	int len = 0, rest = 0;

	make_nonce(stream, last, nonce);
	return EVP_CipherInit_ex(stream->ctx, NULL, NULL, NULL, nonce, 0) == 1 &&
	       EVP_CIPHER_CTX_ctrl(
		       stream->ctx, EVP_CTRL_AEAD_SET_TAG, TAG, stream->in + cipher_len) == 1 &&
	       EVP_CipherUpdate(stream->ctx, stream->out, &len, stream->in, (int)cipher_len) == 1 &&
	       EVP_CipherFinal_ex(stream->ctx, stream->out + len, &rest) == 1;
}

static int open_segment(struct stream_aead *stream, bool last, size_t *ret_len, struct err *err)
{
	if (stream->filled < TAG)
		return tampered(stream, "aead.truncated", "the stream ends within a segment", err);
	if (!opens(stream, last)) {
		if (last && opens(stream, false))
			return tampered(stream, "aead.truncated",
				"the stream ends before its last segment", err);
		return tampered(stream, "aead.tampered",
			"a segment is not authentic: wrong key, wrong purpose, or altered", err);
	}
	*ret_len = stream->filled - TAG;
	return 0;
}

static int flush(struct stream_aead *stream, bool last, struct err *err)
{
	size_t len = 0;
	int done;

	if (stream->segment > UINT32_MAX)
		return tampered(stream, "aead.too_large", "more segments than the format has", err);
	if (stream->encrypting)
		done = seal_segment(stream, last, &len, err);
	else
		done = open_segment(stream, last, &len, err);
	if (done < 0)
		return -1;
	stream->segment++;
	stream->filled = 0;
	if (len > 0 && stream->sink(stream->arg, stream->out, len, err) < 0) {
		stream->broken = true;
		return -1;
	}
	return 0;
}

static int start(struct stream_aead *stream, struct err *err)
{
	if (stream->broken)
		return err_set(err, ERR_INTERNAL, "aead.unusable", "the stream has failed before");
	if (stream->encrypting && !stream->keyed)
		return write_header(stream, err);
	return 0;
}

int stream_aead_add(struct stream_aead *stream, const void *data, size_t len, struct err *err)
{
	const unsigned char *at = data;

	if (start(stream, err) < 0)
		return -1;
	while (len > 0) {
		size_t room = capacity(stream) - stream->filled;
		size_t part = len < room ? len : room;

		if (room == 0) {
			if (flush(stream, false, err) < 0)
				return -1;
			continue;
		}
		memcpy(stream->in + stream->filled, at, part);
		stream->filled += part;
		at += part;
		len -= part;
		if (!stream->keyed && stream->filled == HEADER && read_header(stream, err) < 0)
			return -1;
	}
	return 0;
}

int stream_aead_finish(struct stream_aead *stream, struct err *err)
{
	if (start(stream, err) < 0)
		return -1;
	if (!stream->keyed)
		return tampered(stream, "aead.truncated", "the stream ends within its header", err);
	if (flush(stream, true, err) < 0)
		return -1;
	stream->broken = true; /* nothing may follow */
	return 0;
}
