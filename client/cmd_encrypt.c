/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom encrypt, strongroom decrypt: files by hand. --format small is nonce ‖ ciphertext ‖
 * tag, AES-256-GCM, the key 64 hex digits (Fortanix's guide); stream is Tink's AES256_GCM_HKDF_1MB.
 * The key comes from a file only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/files.h"
#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/mem.h"
#include "lib/stream_aead.h"

#define SMALL_MAX (256u * 1024u * 1024u)

static const struct cli_option encrypt_options[] = {
	{ "format", "small|stream", "small when absent" },
	{ "key-file", "FILE", "64 hex digits; 0600" },
	{ "new-key", NULL, "make the key file" },
	{ "aad", "TEXT", "stream: associated data" },
	{ NULL, NULL, NULL },
};

static const struct cli_option decrypt_options[] = {
	{ "format", "small|stream", "small when absent" },
	{ "key-file", "FILE", "64 hex digits" },
	{ "aad", "TEXT", "stream: associated data" },
	{ NULL, NULL, NULL },
};

static int write_new_key(const char *path, struct err *err)
{
	unsigned char key[32];
	char text[CODEC_HEX_SIZE(32)];
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int result;

	if (fd < 0)
		return err_errno(err, "make '%s'", path);
	rand_bytes(key, sizeof(key));
	codec_hex(key, sizeof(key), text);
	result = files_write_all(fd, text, strlen(text), err);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(text, sizeof(text));
	return result;
}

static int read_key(const struct cli *cli, unsigned char ret_key[32], struct err *err)
{
	const char *path = cli_value(cli, "key-file");
	auto_buf text = BUF_INIT(1024);

	if (!path)
		return err_set(err, ERR_INVALID, "usage.option", "which key? --key-file FILE");
	if (cli_switch(cli, "new-key") && write_new_key(path, err) < 0)
		return -1;
	if (buf_read_file(&text, path, err) < 0 || buf_add_text(&text, "", err) < 0)
		return -1;
	text.data[strcspn((char *)text.data, " \r\n")] = '\0';
	return codec_hex_decode((char *)text.data, ret_key, 32, err) < 0
		       ? err_set(err, ERR_INVALID, "key.invalid",
				 "'%s' does not hold 64 hex digits", path)
		       : 0;
}

static int do_small(
	const struct cli *cli, const unsigned char key[32], bool encrypt, struct err *err)
{
	auto_buf in = BUF_INIT(SMALL_MAX);
	unsigned char *out = NULL;
	size_t len = 0;
	int result;

	if (buf_read_file(&in, cli->arguments[0], err) < 0)
		return -1;
	result = encrypt ? small_aead_seal(key, in.data, in.len, &out, &len, err)
			 : small_aead_open(key, in.data, in.len, &out, &len, err);
	if (result == 0)
		result = buf_write_file(cli->arguments[1], out, len, 0600, err);
	if (out)
		mem_wipe_free(out, len);
	return result;
}

static int to_fd(void *arg, const void *data, size_t len, struct err *err)
{
	return files_write_all(*(int *)arg, data, len, err);
}

static int pump(int fd, struct stream_aead *aead, const char *path, struct err *err)
{
	unsigned char chunk[65536];
	ssize_t got;

	while ((got = read(fd, chunk, sizeof(chunk))) != 0) {
		if (got < 0 && errno != EINTR)
			return err_errno(err, "read '%s'", path);
		if (got > 0 && stream_aead_add(aead, chunk, (size_t)got, err) < 0)
			return -1;
	}
	explicit_bzero(chunk, sizeof(chunk));
	return stream_aead_finish(aead, err);
}

/* The result has its name only when all of it is verified. */
static int do_stream(
	const struct cli *cli, const unsigned char key[32], bool encrypt, struct err *err)
{
	const char *aad = cli_value(cli, "aad") ? cli_value(cli, "aad") : "";
	const char *in_path = cli->arguments[0], *out_path = cli->arguments[1];
	auto_free char *part = mem_printf("%s.part", out_path);
	auto_fd int in = open(in_path, O_RDONLY | O_CLOEXEC);
	auto_fd int out = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct stream_aead *aead;
	int result;

	if (in < 0 || out < 0)
		return err_errno(err, "open '%s' or '%s'", in_path, part);
	aead = (encrypt ? stream_aead_encrypter : stream_aead_decrypter)(
		key, aad, strlen(aad), to_fd, &out);
	result = pump(in, aead, in_path, err);
	stream_aead_free(aead);
	if (result == 0 && (fsync(out) < 0 || rename(part, out_path) < 0))
		result = err_errno(err, "write '%s'", out_path);
	if (result < 0)
		unlink(part);
	return result;
}

static int crypt_file(const struct cli *cli, bool encrypt, struct err *err)
{
	const char *format = cli_value(cli, "format") ? cli_value(cli, "format") : "small";
	unsigned char key[32];
	int result;

	if (strcmp(format, "small") != 0 && strcmp(format, "stream") != 0)
		return err_set(err, ERR_INVALID, "usage.option", "no format '%s'", format);
	if (read_key(cli, key, err) < 0)
		return -1;
	result = strcmp(format, "small") == 0 ? do_small(cli, key, encrypt, err)
					      : do_stream(cli, key, encrypt, err);
	explicit_bzero(key, sizeof(key));
	return result;
}

static int encrypt_file(const struct cli *cli, struct err *err)
{
	return crypt_file(cli, true, err);
}

static int decrypt_file(const struct cli *cli, struct err *err)
{
	return crypt_file(cli, false, err);
}

const struct command command_encrypt = { "encrypt",
	"--key-file FILE [--format small|stream] IN OUT", "encrypt a file by hand", encrypt_options,
	2, 2, encrypt_file };
const struct command command_decrypt = { "decrypt",
	"--key-file FILE [--format small|stream] IN OUT", "decrypt a file by hand", decrypt_options,
	2, 2, decrypt_file };
