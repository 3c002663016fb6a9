/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's formats from a command line, for tests against other implementations:
 *   crypto layer-encrypt KEY.pem[,CERTIFICATE.pem] IN OUT       prints {digest, inner_digest, size,
 * annotations} crypto layer-decrypt KEY.pem[,CERTIFICATE.pem] DESCRIPTOR.json IN OUT crypto
 * stream-seal|stream-open KEYFILE AADFILE IN OUT A failure prints the error's code and exits 1.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"
#include "lib/stream_aead.h"
#include "tests/support/ocicrypt_file.h"

#define PIECE 65536

/* "KEY.pem" or "KEY.pem,CERTIFICATE.pem". */
static int read_keys(const char *paths, struct ocicrypt_keys *keys, struct err *err)
{
	auto_free char *key_path = mem_strndup(paths, strcspn(paths, ","));
	const char *certificate = strchr(paths, ',');
	auto_buf pem = BUF_INIT(65536), cert = BUF_INIT(65536);
	EVP_PKEY *key = NULL;

	if (buf_read_file(&pem, key_path, err) < 0 ||
		cert_key_read((char *)pem.data, pem.len, &key, err) < 0 ||
		ocicrypt_keys_add(keys, key, NULL, err) < 0)
		return -1;
	if (!certificate)
		return 0;
	return buf_read_file(&cert, certificate + 1, err) < 0
		       ? -1
		       : ocicrypt_keys_match(keys, (char *)cert.data, cert.len, err);
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
	auto_ocicrypt_keys keys = { .n = 0 };
	auto_json json_t *report = NULL;
	struct ocicrypt_result result;
	auto_fd int in = -1;
	auto_fd int out = -1;

	if (read_keys(argv[0], &keys, err) < 0 || open_both(argv + 1, &in, &out, err) < 0 ||
		ocicrypt_encrypt(in, out, &keys, NULL, &result, err) < 0)
		return -1;
	report = json_pack("{s:s,s:s,s:I,s:o}", "digest", result.digest, "inner_digest",
		result.inner_digest, "size", (json_int_t)result.size, "annotations",
		result.annotations);
	json_dumpf(report, stdout, JSON_COMPACT);
	return 0;
}

static int layer_decrypt(char **argv, struct err *err)
{
	auto_ocicrypt_keys keys = { .n = 0 };
	auto_json json_t *descriptor = NULL;
	struct ocicrypt_layer *layer = NULL;
	auto_buf text = BUF_INIT(1 << 20);
	auto_fd int in = -1;
	auto_fd int out = -1;
	int done;

	if (read_keys(argv[0], &keys, err) < 0 || buf_read_file(&text, argv[1], err) < 0 ||
		open_both(argv + 2, &in, &out, err) < 0)
		return -1;
	descriptor = json_parse((char *)text.data, text.len, err);
	if (!descriptor || ocicrypt_open(descriptor, &keys, &layer, err) < 0)
		return -1;
	done = ocicrypt_file_add(layer, in, err);
	if (done == 0)
		done = ocicrypt_decrypt(layer, in, out, NULL, err);
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
