/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing and opening of the key files. */
#include "client/keystore.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define KEYSTORE_TYP "strongroom-project-key+jwe"

int keystore_write(const json_t *storage, const char *path, const json_t *secret, struct err *err)
{
	auto_json json_t *public = jose_key_public(storage);
	auto_json json_t *header = json_pack("{s:s}", "typ", KEYSTORE_TYP);
	auto_json json_t *jwe = NULL;
	auto_free char *text = NULL;
	char *plain = json_dumps(secret, JSON_COMPACT | JSON_SORT_KEYS);
	int result = jose_encrypt(public, header, plain, strlen(plain), &jwe, err);

	mem_wipe_free(plain, strlen(plain));
	if (result < 0)
		return -1;
	text = json_dumps(jwe, JSON_COMPACT | JSON_SORT_KEYS);
	return buf_write_file(path, text, strlen(text), 0600, err);
}

int keystore_read(const json_t *storage, const char *path, json_t **ret_secret, struct err *err)
{
	static const char *const members[] = { "typ", NULL };
	auto_buf text = BUF_INIT(256 * 1024);
	auto_json json_t *jwe = NULL, *header = NULL;
	unsigned char *plain = NULL;
	size_t len = 0;

	if (access(path, R_OK) < 0)
		return err_set(err, ERR_NOT_FOUND, "keystore.missing", "no key file '%s'", path);
	if (buf_read_file(&text, path, err) < 0)
		return -1;
	jwe = json_parse((char *)text.data, text.len, err);
	if (!jwe || jose_decrypt(storage, members, jwe, &header, &plain, &len, err) < 0)
		return err_wrap(err, "open '%s' with this profile's storage key", path);
	if (!json_text(header, "typ") || strcmp(json_text(header, "typ"), KEYSTORE_TYP) != 0) {
		mem_wipe_free(plain, len);
		return err_set(
			err, ERR_INVALID, "keystore.open", "'%s' is another kind of file", path);
	}
	*ret_secret = json_parse((char *)plain, len, err);
	mem_wipe_free(plain, len);
	return *ret_secret ? 0 : -1;
}

static bool is_pem(const char *path)
{
	static const char begin[] = "-----BEGIN";
	char head[sizeof(begin)] = "";
	auto_file FILE *file = fopen(path, "re");

	return file && fgets(head, sizeof(head), file) && strcmp(head, begin) == 0;
}

int keystore_read_key(const json_t *storage, const char *path, EVP_PKEY **ret_key, struct err *err)
{
	auto_buf pem = BUF_INIT(64 * 1024);
	auto_json json_t *secret = NULL;
	const char *text;

	if (is_pem(path))
		return buf_read_file(&pem, path, err) < 0
			       ? -1
			       : cert_key_read((char *)pem.data, pem.len, ret_key, err);
	if (keystore_read(storage, path, &secret, err) < 0)
		return -1;
	text = json_text(secret, "pem");
	if (!text)
		return err_set(err, ERR_INVALID, "keystore.open", "'%s' holds no key pair", path);
	return cert_key_read(text, strlen(text), ret_key, err);
}

json_t *keystore_new_symmetric(void)
{
	unsigned char key[32];
	char *text;
	json_t *secret;

	rand_bytes(key, sizeof(key));
	text = codec_b64url_text(key, sizeof(key));
	secret = json_pack("{s:s}", "key", text);
	explicit_bzero(key, sizeof(key));
	mem_wipe_free(text, strlen(text));
	return secret;
}

int keystore_symmetric(const json_t *secret, unsigned char ret_key[32], struct err *err)
{
	const char *text = json_text(secret, "key");

	if (!text)
		return err_set(
			err, ERR_INVALID, "keystore.open", "the file holds no symmetric key");
	return codec_b64url_decode_fixed(text, ret_key, 32, err);
}
