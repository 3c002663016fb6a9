/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JWE around a content key. Skopeo writes a general JWE (RFC 7516 7.2.1) with a copy of the
 * first recipient's key beside `recipients`: the list counts then.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/gcm.h"
#include "lib/id.h"
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt_packet.h"

json_t *ocicrypt_jwe_parse(const char *text, size_t len, json_t **ret_header)
{
	static const char *const required[] = { "protected", "iv", "ciphertext", "tag", NULL };
	static const char *const optional[] = { "header", "encrypted_key", "recipients", NULL };
	auto_json json_t *jwe = json_parse(text, len, NULL);

	if (!jose_shape_is(jwe, required, optional) ||
		jose_shape_texts(jwe, required, JOSE_MAX_BODY, NULL) < 0 ||
		jose_shape_header(jwe, ret_header, NULL) < 0)
		return NULL;
	return take_ptr(jwe);
}

/* --- writing --- */

static json_t *seal(const unsigned char *cek, const char *protected, const void *plain, size_t len)
{
	unsigned char nonce[GCM_NONCE];
	auto_free unsigned char *sealed = mem_alloc(len + GCM_TAG);
	auto_free char *iv = NULL, *text = NULL, *tag = NULL;
	struct gcm gcm = { .key = cek,
		.key_len = OCICRYPT_CEK,
		.nonce = nonce,
		.aad = protected,
		.aad_len = strlen(protected) };

	rand_bytes(nonce, sizeof(nonce));
	if (!gcm_seal(&gcm, plain, len, sealed))
		return NULL;
	iv = codec_b64url_text(nonce, sizeof(nonce));
	text = codec_b64url_text(sealed, len);
	tag = codec_b64url_text(sealed + len, GCM_TAG);
	return json_pack("{s:s,s:s,s:s,s:s}", "protected", protected, "iv", iv, "ciphertext", text,
		"tag", tag);
}

int ocicrypt_jwe_seal(
	EVP_PKEY *key, const void *plain, size_t len, char **ret_text, struct err *err)
{
	auto_json json_t *header = json_pack("{s:s}", "enc", "A256GCM"), *jwe = NULL;
	auto_free char *wrapped = NULL, *text = NULL, *protected = NULL;
	unsigned char cek[OCICRYPT_CEK];

	rand_bytes(cek, sizeof(cek));
	if (ocicrypt_wrap(key, cek, header, &wrapped, err) == 0) {
		text = json_dumps(header, JSON_COMPACT);
		protected = codec_b64url_text(text, strlen(text));
		jwe = seal(cek, protected, plain, len);
		if (!jwe)
			err_set(err, ERR_INTERNAL, "internal.crypto", "AES-GCM failed");
	}
	explicit_bzero(cek, sizeof(cek));
	if (!jwe)
		return -1;
	json_object_set_new(jwe, "encrypted_key", json_string(wrapped));
	*ret_text = json_dumps(jwe, JSON_COMPACT);
	return 0;
}

/* --- reading --- */

static bool unwrap_for(EVP_PKEY *key, const json_t *recipient, const json_t *protected,
	unsigned char ret_cek[OCICRYPT_CEK])
{
	const char *text = json_text(recipient, "encrypted_key");
	json_t *own = json_object_get(recipient, "header");
	auto_json json_t *header = json_copy((json_t *)protected);
	unsigned char *wrapped = NULL;
	size_t len = 0;
	bool good;

	/* no name in both headers: whoever reads one of them only would see another algorithm */
	if (!text || (own && json_object_update_missing(header, own) < 0) ||
		json_object_size(header) != json_object_size(protected) + json_object_size(own) ||
		codec_b64url_decode(text, strlen(text), &wrapped, &len, NULL) < 0)
		return false;
	good = len <= OCICRYPT_MAX_WRAPPED && ocicrypt_unwrap(key, header, wrapped, len, ret_cek);
	free(wrapped);
	return good;
}

static bool unwrap(
	EVP_PKEY *key, const json_t *jwe, const json_t *header, unsigned char ret_cek[OCICRYPT_CEK])
{
	const json_t *list = json_object_get(jwe, "recipients");
	json_t *recipient;
	size_t i;

	if (!list)
		return unwrap_for(key, jwe, header, ret_cek);
	json_array_foreach (list, i, recipient) {
		if (unwrap_for(key, recipient, header, ret_cek))
			return true;
	}
	return false;
}

/* Ciphertext and tag as one piece; NULL when they are no such thing. */
static unsigned char *read_sealed(const json_t *jwe, size_t *ret_len)
{
	const char *text = json_text(jwe, "ciphertext");
	unsigned char *data = NULL, *sealed;
	size_t len = 0;

	if (codec_b64url_decode(text, strlen(text), &data, &len, NULL) < 0)
		return NULL;
	sealed = mem_alloc(len + GCM_TAG);
	memcpy(sealed, data, len);
	free(data);
	if (codec_b64url_decode_fixed(json_text(jwe, "tag"), sealed + len, GCM_TAG, NULL) < 0) {
		free(sealed);
		return NULL;
	}
	*ret_len = len;
	return sealed;
}

static bool open_content(
	const json_t *jwe, const unsigned char *cek, unsigned char **ret_plain, size_t *ret_len)
{
	const char *protected = json_text(jwe, "protected");
	unsigned char nonce[GCM_NONCE], *plain;
	size_t len = 0;
	auto_free unsigned char *sealed = read_sealed(jwe, &len);
	struct gcm gcm = { .key = cek,
		.key_len = OCICRYPT_CEK,
		.nonce = nonce,
		.aad = protected,
		.aad_len = strlen(protected) };

	if (!sealed ||
		codec_b64url_decode_fixed(json_text(jwe, "iv"), nonce, sizeof(nonce), NULL) < 0)
		return false;
	plain = mem_alloc(len + 1);
	if (!gcm_open(&gcm, sealed, len, plain)) {
		mem_wipe_free(plain, len);
		return false;
	}
	*ret_plain = plain;
	*ret_len = len;
	return true;
}

bool ocicrypt_jwe_open(EVP_PKEY *key, const char *text, size_t text_len, unsigned char **ret_plain,
	size_t *ret_len)
{
	auto_json json_t *header = NULL;
	auto_json json_t *jwe = ocicrypt_jwe_parse(text, text_len, &header);
	unsigned char cek[OCICRYPT_CEK];
	bool good;

	if (!jwe || !json_text_is(header, "enc", "A256GCM") || json_object_get(header, "crit") ||
		json_object_get(header, "zip"))
		return false;
	good = unwrap(key, jwe, header, cek) && open_content(jwe, cek, ret_plain, ret_len);
	explicit_bzero(cek, sizeof(cek));
	return good;
}
