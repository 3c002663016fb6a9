/* SPDX-License-Identifier: Apache-2.0 */
/* A file says by its first line what it is: public or private key, certificate, or a key file of a
 * project, which the profile's storage key opens. A private key as a recipient stands for its
 * public half. */
#include "client/image_keys.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "client/files.h"
#include "client/keystore.h"
#include "client/profile.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_FILE (64u * 1024)

static bool has_head(const struct buf *text, const char *head)
{
	return text->data && strncmp((char *)text->data, head, strlen(head)) == 0;
}

static bool is_certificate(const struct buf *text)
{
	return has_head(text, "-----BEGIN CERTIFICATE");
}

/* --- private keys --- */

static int add_stored(
	const struct cli *cli, const char *path, struct ocicrypt_keys *keys, struct err *err)
{
	auto_json json_t *secret = NULL;
	EVP_PKEY *key = NULL;
	struct profile profile;
	int done;

	if (profile_load(cli->profile, &profile, err) < 0)
		return -1;
	done = keystore_read(profile.storage, path, &secret, err);
	if (done == 0 && json_object_get(secret, "kty"))
		done = ocicrypt_keys_add_jwk(keys, secret, err);
	else if (done == 0 && (done = keystore_read_key(profile.storage, path, &key, err)) == 0)
		done = ocicrypt_keys_add(keys, key, NULL, err);
	profile_release(&profile);
	return done;
}

static int add_private(const struct cli *cli, const char *path, const struct buf *text,
	struct ocicrypt_keys *keys, struct err *err)
{
	EVP_PKEY *key = NULL;

	if (!has_head(text, "-----BEGIN"))
		return add_stored(cli, path, keys, err);
	if (cert_key_read((char *)text->data, text->len, &key, err) < 0)
		return err_wrap(err, "'%s'", path);
	return ocicrypt_keys_add(keys, key, NULL, err);
}

/* --- lists of files --- */

/* `certificates`: which of both kinds this round is for; keys come first. */
static int add_key(const struct cli *cli, const char *path, bool certificates,
	struct ocicrypt_keys *keys, struct err *err)
{
	auto_buf text = BUF_INIT(MAX_FILE);
	int done = 0;

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	if (is_certificate(&text) == certificates)
		done = certificates ? ocicrypt_keys_match(keys, (char *)text.data, text.len, err)
				    : add_private(cli, path, &text, keys, err);
	buf_wipe(&text);
	return done;
}

int image_keys_private(
	const struct cli *cli, bool optional, struct ocicrypt_keys *keys, struct err *err)
{
	auto_json json_t *list = cli_list(cli, "key");
	json_t *path;
	size_t i;

	if (!list && !optional)
		return err_set(err, ERR_INVALID, "usage.option", "which key opens it? --key FILE");
	for (int certificates = 0; certificates < 2; certificates++) {
		json_array_foreach (list, i, path) {
			if (add_key(cli, json_string_value(path), certificates, keys, err) < 0)
				return -1;
		}
	}
	return 0;
}

/* --- recipients --- */

static int add_recipient(
	const struct cli *cli, const char *name, struct ocicrypt_keys *keys, struct err *err)
{
	bool is_jwe = strncmp(name, "jwe:", 4) == 0, is_pkcs7 = strncmp(name, "pkcs7:", 6) == 0;
	const char *path = is_jwe ? name + 4 : is_pkcs7 ? name + 6 : name;
	auto_buf text = BUF_INIT(MAX_FILE);
	int done;

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	if (is_certificate(&text) ? is_jwe : is_pkcs7)
		return err_set(err, ERR_INVALID, "usage.option",
			"'%s': jwe: is for keys, pkcs7: for certificates", name);
	if (is_certificate(&text))
		done = ocicrypt_keys_add_certificate(keys, (char *)text.data, text.len, err);
	else if (has_head(&text, "-----BEGIN PUBLIC"))
		done = ocicrypt_keys_add_public(keys, (char *)text.data, text.len, err);
	else
		done = add_private(cli, path, &text, keys, err);
	buf_wipe(&text);
	return done;
}

static int write_new(const char *path, struct err *err)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	EVP_PKEY *key = NULL;
	char *pem = NULL;
	int done;

	if (fd < 0)
		return err_errno(err, "make '%s'", path);
	if (cert_key_new(&key, err) < 0)
		return -1;
	done = cert_key_write(key, &pem, err);
	EVP_PKEY_free(key);
	if (done < 0)
		return -1;
	done = files_write_all(fd, pem, strlen(pem), err);
	mem_wipe_free(pem, strlen(pem));
	return done == 0 && fsync(fd) < 0 ? err_errno(err, "write '%s'", path) : done;
}

int image_keys_recipients(
	const struct cli *cli, bool optional, struct ocicrypt_keys *keys, struct err *err)
{
	auto_json json_t *list = cli_list(cli, "recipient");
	const char *new = cli_value(cli, "new-key");
	json_t *name;
	size_t i;

	if (!list && !new && !optional)
		return err_set(err, ERR_INVALID, "usage.option",
			"to whom? --recipient jwe:KEY.pem or pkcs7:CERTIFICATE.pem, or --new-key "
			"FILE");
	json_array_foreach (list, i, name) {
		if (add_recipient(cli, json_string_value(name), keys, err) < 0)
			return -1;
	}
	if (!new)
		return 0;
	if (access(new, F_OK) < 0 && write_new(new, err) < 0)
		return -1;
	return add_recipient(cli, new, keys, err);
}
