/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's rule on a manifest, without any key at hand: each layer's key is wrapped to public
 * keys, by algorithms that we know, and every packet is what its name says. So a packet that
 * everybody could open (alg `dir`, a password) does not pass as encryption.
 */
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cert_name.h"
#include "lib/codec.h"
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt_layer.h"
#include "lib/pkcs7.h"

#define PKCS7 "org.opencontainers.image.enc.keys.pkcs7"
#define MAX_LAYERS 127
#define MAX_KID 256
#define MAX_SERIAL 21u	  /* 20 bytes and a sign */
#define MAX_WRAPPED 4096u /* bytes of a wrapped key, and of what it opens */

static const char *const WRAPS[] = { "RSA-OAEP", "RSA-OAEP-256", "ECDH-ES+A128KW", "ECDH-ES+A192KW",
	"ECDH-ES+A256KW" };

/* --- whom a packet is for, as far as it tells --- */

struct recipient {
	const char *scheme;
	const char *kid;	   /* JWE; NULL: it does not say */
	const char *issuer_serial; /* PKCS #7 */
	const char *issuer, *serial;
};

static void add_recipient(json_t *found, const struct recipient *recipient)
{
	json_array_append_new(
		found, json_pack("{s:s, s:s?, s:s?, s:s?, s:s?}", "scheme", recipient->scheme,
			       "kid", recipient->kid, "issuer_serial", recipient->issuer_serial,
			       "issuer", recipient->issuer, "serial", recipient->serial));
}

/* --- JWE --- */

static bool is_bytes(const json_t *object, const char *name, size_t least, size_t most)
{
	const char *text = json_text(object, name);
	unsigned char *data = NULL;
	size_t len = 0;
	bool fits;

	if (!text || codec_b64url_decode(text, strlen(text), &data, &len, NULL) < 0)
		return false;
	fits = len >= least && len <= most;
	free(data);
	return fits;
}

/* The name that the packet gives the key, if it is short enough to be one. */
static void add_key(json_t *found, const json_t *recipient, const json_t *header)
{
	const char *own = json_text(json_object_get(recipient, "header"), "kid");
	const char *kid = own ? own : json_text(header, "kid");

	add_recipient(found, &(const struct recipient) {
				     .scheme = "jwe",
				     .kid = kid && *kid && strlen(kid) <= MAX_KID ? kid : NULL,
			     });
}

static const char *recipient_fault(const json_t *recipient, const json_t *header, json_t *found)
{
	const char *common = json_text(header, "alg");
	const char *own = json_text(json_object_get(recipient, "header"), "alg");
	const char *algorithm = own ? own : common;

	add_key(found, recipient, header);

	if (own && common)
		return "it names its algorithm twice";
	for (size_t i = 0; algorithm && i < ARRAY_LEN(WRAPS); i++) {
		if (strcmp(WRAPS[i], algorithm) == 0)
			return is_bytes(recipient, "encrypted_key", 40, MAX_WRAPPED)
				       ? NULL
				       : "a recipient has no wrapped key";
	}
	return "it wraps the key by an algorithm that is not allowed";
}

static const char *recipients_fault(const json_t *jwe, const json_t *header, json_t *found)
{
	const json_t *list = json_object_get(jwe, "recipients");
	const char *fault = NULL;
	json_t *recipient;
	size_t i;

	if (!list)
		return recipient_fault(jwe, header, found);
	if (!json_is_array(list) || json_array_size(list) == 0)
		return "it has no recipients";
	json_array_foreach (list, i, recipient) {
		if (!fault)
			fault = recipient_fault(recipient, header, found);
	}
	return fault;
}

static const char *jwe_fault(const char *text, size_t len, json_t *found)
{
	static const char *const required[] = { "protected", "iv", "ciphertext", "tag", NULL };
	static const char *const optional[] = { "header", "encrypted_key", "recipients", NULL };
	auto_json json_t *jwe = ocicrypt_json(text, len), *header = NULL;

	if (!jose_shape_is(jwe, required, optional) || jose_shape_header(jwe, &header, NULL) < 0)
		return "it is no JWE";
	if (!json_text(header, "enc") || strcmp(json_text(header, "enc"), "A256GCM") != 0)
		return "its content is not encrypted by A256GCM";
	if (json_object_get(header, "crit") || json_object_get(header, "zip"))
		return "its header asks for more than encryption";
	if (!is_bytes(jwe, "iv", 12, 12) || !is_bytes(jwe, "tag", 16, 16) ||
		!is_bytes(jwe, "ciphertext", 1, MAX_WRAPPED))
		return "its nonce, content or tag has a wrong length";
	return recipients_fault(jwe, header, found);
}

/* --- PKCS #7 --- */

/* `name` is a whole DER Name. */
static bool name_text(const struct span *name, char ret_text[CERT_SUBJECT_SIZE])
{
	const unsigned char *at = name->at;
	X509_NAME *parsed = d2i_X509_NAME(NULL, &at, (long)name->len);
	bool good = parsed && cert_name_text(parsed, ret_text, NULL) == 0;

	X509_NAME_free(parsed);
	ERR_clear_error();
	return good;
}

static void add_certificate(json_t *found, const struct pkcs7_recipient *recipient)
{
	char digest[DIGEST_TEXT_SIZE], issuer[CERT_SUBJECT_SIZE],
		serial[CODEC_HEX_SIZE(MAX_SERIAL)];
	bool is_short = recipient->serial.len > 0 && recipient->serial.len <= MAX_SERIAL;

	digest_text(recipient->who.at, recipient->who.len, digest);
	if (is_short)
		codec_hex(recipient->serial.at, recipient->serial.len, serial);
	add_recipient(
		found, &(const struct recipient) {
			       .scheme = "pkcs7",
			       .issuer_serial = digest,
			       .issuer = name_text(&recipient->issuer, issuer) ? issuer : NULL,
			       .serial = is_short ? serial : NULL,
		       });
}

static const char *pkcs7_fault(const char *text, size_t len, json_t *found)
{
	auto_free unsigned char *data = NULL;
	struct pkcs7_recipient recipient;
	struct pkcs7 pkcs7;
	size_t data_len = 0;

	if (len > OCICRYPT_MAX_PACKET || codec_b64_decode(text, len, &data, &data_len, NULL) < 0 ||
		!pkcs7_parse(data, data_len, &pkcs7))
		return "it is no PKCS #7 EnvelopedData by AES-GCM";
	if (pkcs7.recipients.len == 0)
		return "it has no recipients";
	while (pkcs7.recipients.len > 0) {
		if (!pkcs7_next(&pkcs7.recipients, &recipient))
			return "a recipient has no key wrapped by RSA of 2048 bits or more";
		add_certificate(found, &recipient);
	}
	return NULL;
}

/* --- the rule --- */

static const struct {
	const char *annotation, *kind;
	const char *(*fault)(const char *text, size_t len, json_t *found);
} KINDS[] = {
	{ OCICRYPT_JWE, "JWE", jwe_fault },
	{ PKCS7, "PKCS7", pkcs7_fault },
};

static int refuse(size_t layer, const char *fault, struct err *err)
{
	return err_set(
		err, ERR_UNPROCESSABLE, "image.not_encrypted", "layer %zu: %s", layer, fault);
}

static int check_packets(
	size_t layer, const json_t *annotations, size_t kind, json_t *found, struct err *err)
{
	const char *list = json_text(annotations, KINDS[kind].annotation), *packet, *fault;
	size_t len = 0;

	for (unsigned n = 1; (packet = ocicrypt_next_packet(&list, &len)); n++) {
		fault = KINDS[kind].fault(packet, len, found);
		if (fault)
			return err_set(err, ERR_UNPROCESSABLE, "image.not_encrypted",
				"layer %zu: key packet %u of the kind %s: %s", layer, n,
				KINDS[kind].kind, fault);
		if (json_array_size(found) > OCICRYPT_MAX_RECIPIENTS)
			return refuse(layer, "it is encrypted to more than 32 recipients", err);
	}
	return 0;
}

static int check_layer(size_t number, const json_t *layer, json_t *found, struct err *err)
{
	const json_t *annotations = json_object_get(layer, "annotations");
	struct err inner = { .kind = ERR_NONE };
	unsigned char hmac[DIGEST_SIZE];

	if (ocicrypt_public(annotations, hmac, &inner) < 0)
		return refuse(number, inner.detail, err);
	for (size_t kind = 0; kind < ARRAY_LEN(KINDS); kind++) {
		if (check_packets(number, annotations, kind, found, err) < 0)
			return -1;
	}
	return json_array_size(found) > 0 ? 0 : refuse(number, "it has no key packet", err);
}

int ocicrypt_check_layers(const json_t *manifest, json_t **ret_layers, struct err *err)
{
	const json_t *layers = json_object_get(manifest, "layers");
	auto_json json_t *all = json_array();
	json_t *layer, *found;
	size_t i;

	if (!json_is_array(layers) || json_array_size(layers) > MAX_LAYERS)
		return err_set(err, ERR_UNPROCESSABLE, "image.not_encrypted",
			"the manifest has no layers, or more than %d", MAX_LAYERS);
	json_array_foreach (layers, i, layer) {
		bool claims = ocicrypt_is_type(json_text(layer, "mediaType"));

		found = claims ? json_array() : json_null();
		json_array_append_new(all, found);
		if (claims && check_layer(i, layer, found, err) < 0)
			return -1;
	}
	*ret_layers = take_ptr(all);
	return 0;
}

int ocicrypt_check_manifest(const json_t *manifest, struct err *err)
{
	auto_json json_t *layers = NULL;
	json_t *layer;
	size_t i;

	if (ocicrypt_check_layers(manifest, &layers, err) < 0)
		return -1;
	json_array_foreach (layers, i, layer) {
		if (json_is_null(layer))
			return refuse(i, "its media type does not end in +encrypted", err);
	}
	if (json_array_size(layers) > 0)
		return 0;
	return err_set(err, ERR_UNPROCESSABLE, "image.not_encrypted", "the manifest has no layers");
}
