/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's formats from a command line, for tests against other implementations:
 *   crypto layer-encrypt KEY.pem IN OUT       prints {digest, inner_digest, size, annotations}
 *   crypto layer-decrypt KEY.pem DESCRIPTOR.json IN OUT
 *   crypto stream-seal|stream-open KEYFILE AADFILE IN OUT
 * A failure prints the error's code and exits 1.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"
#include "lib/stream_aead.h"
#include "tests/support/ocicrypt_file.h"

#define PIECE 65536

static int read_key(const char *path, json_t **ret_jwk, struct err *err)
{
	auto_key EVP_PKEY *key = NULL;
	auto_buf pem = BUF_INIT(65536);

	if (buf_read_file(&pem, path, err) < 0 ||
		cert_key_read((char *)pem.data, pem.len, &key, err) < 0)
		return -1;
	return jose_key_from_evp(key, "enc", ret_jwk, err);
}

static int open_both(char **argv, int *ret_in, int *ret_out, struct err *err)
{
	*ret_in = open(argv[0], O_RDONLY | O_CLOEXEC);
	*ret_out = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return *ret_in < 0 || *ret_out < 0
		       ? err_errno(err, "cannot open '%s' or '%s'", argv[0], argv[1])
		       : 0;
}

static int layer_encrypt(char **argv, struct err *err)
{
	auto_json json_t *key = NULL, *public = NULL, *report = NULL;
	struct ocicrypt_result result;
	auto_fd int in = -1;
	auto_fd int out = -1;

	if (read_key(argv[0], &key, err) < 0 || open_both(argv + 1, &in, &out, err) < 0)
		return -1;
	public = jose_key_public(key);
	if (ocicrypt_encrypt(in, out, public, &result, err) < 0)
		return -1;
	report = json_pack("{s:s,s:s,s:I,s:o}", "digest", result.digest, "inner_digest",
		result.inner_digest, "size", (json_int_t)result.size, "annotations",
		result.annotations);
	json_dumpf(report, stdout, JSON_COMPACT);
	return 0;
}

static int layer_decrypt(char **argv, struct err *err)
{
	auto_json json_t *key = NULL, *descriptor = NULL;
	struct ocicrypt_layer *layer = NULL;
	auto_buf text = BUF_INIT(1 << 20);
	auto_fd int in = -1;
	auto_fd int out = -1;
	int done;

	if (read_key(argv[0], &key, err) < 0 || buf_read_file(&text, argv[1], err) < 0 ||
		open_both(argv + 2, &in, &out, err) < 0)
		return -1;
	descriptor = json_parse((char *)text.data, text.len, err);
	if (!descriptor || ocicrypt_open(descriptor, key, &layer, err) < 0)
		return -1;
	done = ocicrypt_file_add(layer, in, err);
	if (done == 0)
		done = ocicrypt_decrypt(layer, in, out, err);
	ocicrypt_layer_free(layer);
	return done;
}

static int write_out(void *arg, const void *data, size_t len, struct err *err)
{
	return write(*(int *)arg, data, len) == (ssize_t)len ? 0 : err_errno(err, "cannot write");
}

static int copy(struct stream_aead *stream, int in, struct err *err)
{
	static unsigned char piece[PIECE];
	ssize_t n;

	while ((n = read(in, piece, sizeof(piece))) > 0)
		if (stream_aead_add(stream, piece, (size_t)n, err) < 0)
			return -1;
	return n < 0 ? err_errno(err, "cannot read") : stream_aead_finish(stream, err);
}

static int stream(char **argv, bool seal, struct err *err)
{
	auto_buf key = BUF_INIT(32), aad = BUF_INIT(65536);
	struct stream_aead *aead;
	auto_fd int in = -1;
	auto_fd int out = -1;
	int done;

	if (buf_read_file(&key, argv[0], err) < 0 || buf_read_file(&aad, argv[1], err) < 0 ||
		open_both(argv + 2, &in, &out, err) < 0)
		return -1;
	if (key.len != STREAM_AEAD_KEY_SIZE)
		return err_set(err, ERR_INVALID, "key.invalid", "the key is not 32 bytes");
	aead = seal ? stream_aead_encrypter(key.data, aad.data, aad.len, write_out, &out)
		    : stream_aead_decrypter(key.data, aad.data, aad.len, write_out, &out);
	done = copy(aead, in, err);
	stream_aead_free(aead);
	return done;
}

int main(int argc, char **argv)
{
	struct err err = { .kind = ERR_NONE };
	int done;

	if (argc == 5 && strcmp(argv[1], "layer-encrypt") == 0)
		done = layer_encrypt(argv + 2, &err);
	else if (argc == 6 && strcmp(argv[1], "layer-decrypt") == 0)
		done = layer_decrypt(argv + 2, &err);
	else if (argc == 6 && strncmp(argv[1], "stream-", 7) == 0)
		done = stream(argv + 2, strcmp(argv[1], "stream-seal") == 0, &err);
	else
		return 2;
	if (done < 0)
		printf("%s\n", err.code);
	return done < 0;
}
