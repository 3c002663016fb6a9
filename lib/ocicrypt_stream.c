/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bulk of a layer: AES-256-CTR from and to files in constant memory. Encrypting has HMAC and
 * both digests on the way. Decrypting gets the HMAC as the ciphertext arrives and reads the file
 * once: nothing is deciphered before all of it is known to be what was meant.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/id.h"
#include "lib/mem.h"
#include "lib/ocicrypt_layer.h"
#include "lib/twin_sha256.h"

/* --- input and output --- */

/* As much as fits, or up to the end. `offset` < 0 reads on from where the descriptor is. */
static ssize_t read_full(int fd, unsigned char *data, size_t size, long long offset)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = offset < 0 ? read(fd, data + len, size - len)
				       : pread(fd, data + len, size - len, offset + (off_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static int write_full(int fd, const unsigned char *data, size_t len, struct err *err)
{
	return buf_write_all(fd, data, len) < 0 ? err_errno(err, "cannot write the layer") : 0;
}

/* Blocks for all of it at once cost less than one by one. A hint: not every file system can. */
static void reserve(int in_fd, int out_fd)
{
	struct stat info;

	if (fstat(in_fd, &info) == 0 && info.st_size > 0)
		(void)fallocate(out_fd, FALLOC_FL_KEEP_SIZE, 0, info.st_size);
}

/* --- primitives --- */

static int crypto_failed(struct err *err)
{
	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "internal.crypto", "AES-CTR or HMAC failed");
}

int ocicrypt_start(struct ocicrypt_layer *layer, struct err *err)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	char sha256[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_end(),
	};

	layer->mac = mac ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac);
	if (layer->mac && EVP_MAC_init(layer->mac, layer->key, OCICRYPT_KEY, params) == 1)
		return 0;
	return crypto_failed(err);
}

int ocicrypt_add(struct ocicrypt_layer *layer, const void *data, size_t len, struct err *err)
{
	if (EVP_MAC_update(layer->mac, data, len) != 1)
		return crypto_failed(err);
	layer->added += (long long)len;
	return 0;
}

static int finish_hmac(
	struct ocicrypt_layer *layer, unsigned char ret_hmac[DIGEST_SIZE], struct err *err)
{
	size_t len = 0;

	if (EVP_MAC_final(layer->mac, ret_hmac, &len, DIGEST_SIZE) != 1 || len != DIGEST_SIZE)
		return crypto_failed(err);
	return 0;
}

static EVP_CIPHER_CTX *cipher_new(const struct ocicrypt_layer *layer)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_ctr(), NULL, layer->key, layer->nonce) == 1)
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

/* --- what a second thread does --- */

static void add_digest(void *arg, const void *data, size_t len)
{
	digest_stream_add(arg, data, len);
}

static void add_both(void *arg, const void *data, size_t len)
{
	twin_sha256_add(arg, data, len);
}

static void show(const struct ocicrypt_watch *watch, long long done)
{
	if (watch && watch->progress)
		watch->progress(watch->arg, done);
}

/* --- encrypting --- */

struct encryption {
	int in_fd, out_fd;
	EVP_CIPHER_CTX *cipher;
	struct digest_stream *inner;
	struct side side;
	struct twin_sha256 *tags; /* over the ciphertext */
	const struct ocicrypt_watch *watch;
};

/* This thread reads, digests the plaintext and ciphers; the other one tags the ciphertext. */
static int cipher_in(struct encryption *job, long long *ret_size, struct err *err)
{
	unsigned char *plain = mem_alloc(SIDE_BUFFER_SIZE);
	long long all = 0;
	int done = 0, len = 0;
	ssize_t n = 0;

	while (done == 0 && (n = read_full(job->in_fd, plain, SIDE_BUFFER_SIZE, -1)) > 0) {
		unsigned char *out = side_take(&job->side);

		if (EVP_EncryptUpdate(job->cipher, out, &len, plain, (int)n) != 1) {
			done = crypto_failed(err);
			break;
		}
		side_give(&job->side, (size_t)n);
		digest_stream_add(job->inner, plain, (size_t)n);
		done = write_full(job->out_fd, out, (size_t)n, err);
		all += n;
		show(job->watch, all);
	}
	if (done == 0 && n < 0)
		done = err_errno(err, "cannot read the layer");
	mem_wipe_free(plain, SIDE_BUFFER_SIZE);
	*ret_size = all;
	return done;
}

static int encrypt_with(struct ocicrypt_layer *layer, struct encryption *job, struct err *err)
{
	unsigned char digest[DIGEST_SIZE];
	int done;

	if (!job->cipher)
		return crypto_failed(err);
	reserve(job->in_fd, job->out_fd);
	side_start(&job->side, add_both, job->tags);
	done = cipher_in(job, &layer->size, err);
	side_finish(&job->side);
	twin_sha256_finish(job->tags, digest, layer->hmac);
	digest_format(digest, layer->digest);
	digest_stream_finish_text(job->inner, layer->inner_digest);
	return done;
}

static int encrypt(struct ocicrypt_layer *layer, int in_fd, int out_fd,
	const struct ocicrypt_watch *watch, struct err *err)
{
	struct encryption job = { .in_fd = in_fd, .out_fd = out_fd, .watch = watch };
	int done;

	rand_bytes(layer->key, sizeof(layer->key));
	rand_bytes(layer->nonce, sizeof(layer->nonce));
	job.cipher = cipher_new(layer);
	job.inner = digest_stream_new();
	job.tags = twin_sha256_new(layer->key, sizeof(layer->key));
	done = encrypt_with(layer, &job, err);
	EVP_CIPHER_CTX_free(job.cipher);
	digest_stream_free(job.inner);
	twin_sha256_free(job.tags);
	return done;
}

int ocicrypt_encrypt(int in_fd, int out_fd, const struct ocicrypt_keys *recipients,
	const struct ocicrypt_watch *watch, struct ocicrypt_result *ret_result, struct err *err)
{
	struct ocicrypt_layer *layer = mem_alloc(sizeof(*layer));
	struct ocicrypt_result result = { .annotations = NULL };
	int done = recipients->n > 0 ? encrypt(layer, in_fd, out_fd, watch, err)
				     : err_set(err, ERR_INVALID, "key.invalid",
					       "nobody is to open the layer");

	if (done == 0)
		done = ocicrypt_annotate(layer, recipients, &result.annotations, err);
	if (done == 0) {
		memcpy(result.digest, layer->digest, sizeof(result.digest));
		memcpy(result.inner_digest, layer->inner_digest, sizeof(result.inner_digest));
		result.size = layer->size;
		*ret_result = result;
	}
	ocicrypt_layer_free(layer);
	return done;
}

/* --- decrypting --- */

static int check_hmac(struct ocicrypt_layer *layer, struct err *err)
{
	unsigned char hmac[DIGEST_SIZE];

	memcpy(hmac, layer->found, sizeof(hmac));
	if (layer->added != layer->size)
		return err_set(err, ERR_UNPROCESSABLE, "image.digest",
			"the encrypted layer is not the one of its descriptor");
	if (!layer->is_found && finish_hmac(layer, hmac, err) < 0)
		return -1;
	if (!digest_equal(hmac, layer->hmac, DIGEST_SIZE))
		return err_set(err, ERR_UNPROCESSABLE, "image.hmac",
			"the encrypted layer's HMAC does not fit its key");
	return 0;
}

static int read_through(struct ocicrypt_layer *layer, int fd, struct twin_sha256 *tags,
	unsigned char *data, struct err *err)
{
	ssize_t n;

	while ((n = read_full(fd, data, SIDE_BUFFER_SIZE, layer->added)) > 0) {
		twin_sha256_add(tags, data, (size_t)n);
		layer->added += n;
	}
	return n < 0 ? err_errno(err, "cannot read the layer") : 0;
}

int ocicrypt_add_file(struct ocicrypt_layer *layer, int fd, const char *expected, struct err *err)
{
	struct twin_sha256 *tags = twin_sha256_new(layer->key, sizeof(layer->key));
	auto_free unsigned char *data = mem_alloc(SIDE_BUFFER_SIZE);
	unsigned char digest[DIGEST_SIZE];
	char text[DIGEST_TEXT_SIZE];
	int done = read_through(layer, fd, tags, data, err);

	twin_sha256_finish(tags, digest, layer->found);
	twin_sha256_free(tags);
	layer->is_found = true;
	digest_format(digest, text);
	if (done == 0 && strcmp(text, expected) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "image.digest",
			"the encrypted layer is not the one of its descriptor");
	return done;
}

struct decryption {
	int in_fd, out_fd;
	EVP_CIPHER_CTX *cipher;
	struct side side;
	const struct ocicrypt_watch *watch;
};

/* This thread reads, deciphers and writes; the other one digests the plaintext. */
static int decipher(const struct ocicrypt_layer *layer, struct decryption *job, struct err *err)
{
	auto_free unsigned char *data = mem_alloc(SIDE_BUFFER_SIZE);
	int len = 0;

	for (long long at = 0; at < layer->size;) {
		ssize_t n = read_full(job->in_fd, data, SIDE_BUFFER_SIZE, at);
		unsigned char *plain = side_take(&job->side);

		if (n <= 0 || n > layer->size - at)
			return err_set(err, ERR_UNPROCESSABLE, "image.digest",
				"the encrypted layer changed while it was read");
		if (EVP_EncryptUpdate(job->cipher, plain, &len, data, (int)n) != 1)
			return crypto_failed(err);
		side_give(&job->side, (size_t)n);
		if (write_full(job->out_fd, plain, (size_t)n, err) < 0)
			return -1;
		at += n;
		show(job->watch, at);
	}
	return 0;
}

int ocicrypt_decrypt(struct ocicrypt_layer *layer, int in_fd, int out_fd,
	const struct ocicrypt_watch *watch, struct err *err)
{
	struct decryption job = { .in_fd = in_fd, .out_fd = out_fd, .watch = watch };
	struct digest_stream *inner;
	char digest[DIGEST_TEXT_SIZE];
	int done;

	if (check_hmac(layer, err) < 0)
		return -1;
	job.cipher = cipher_new(layer);
	if (!job.cipher)
		return crypto_failed(err);
	inner = digest_stream_new();
	reserve(in_fd, out_fd);
	side_start(&job.side, add_digest, inner);
	done = decipher(layer, &job, err);
	side_finish(&job.side);
	digest_stream_finish_text(inner, digest);
	digest_stream_free(inner);
	EVP_CIPHER_CTX_free(job.cipher);
	if (done == 0 && strcmp(digest, layer->inner_digest) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "image.inner_digest",
			"the decrypted layer is not the one that was encrypted");
	return done;
}
