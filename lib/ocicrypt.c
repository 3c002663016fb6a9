/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in a layer's descriptor: public options, key packets and, inside a packet, the
 * private options. Public options win over private ones in ocicrypt, unauthenticated: so they must
 * hold nothing but the cipher's name and the HMAC.
 */
#include "lib/ocicrypt.h"

#include <openssl/evp.h>

#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt_layer.h"

#define ANNOTATIONS "annotations"
#define SUFFIX "+encrypted"
#define MAX_PACKETS 32

static const char *const PRIVATE_MEMBERS[] = { "symkey", "digest", "cipheroptions", NULL };
static const char *const NONCE_MEMBER[] = { "nonce", NULL };
static const char *const PUBLIC_MEMBERS[] = { "cipher", "hmac", NULL };
static const char *const PUBLIC_OPTIONAL[] = { "cipheroptions", NULL };

/* --- small pieces --- */

static int decode_fixed(const char *text, unsigned char *ret_data, size_t len)
{
	unsigned char *data = NULL;
	size_t data_len = 0;
	int done = -1;

	if (!text || codec_b64_decode(text, strlen(text), &data, &data_len, NULL) < 0)
		return -1;
	if (data_len == len) {
		memcpy(ret_data, data, len);
		done = 0;
	}
	mem_wipe_free(data, data_len);
	return done;
}

json_t *ocicrypt_json(const char *text, size_t len)
{
	unsigned char *data = NULL;
	size_t data_len = 0;
	json_t *value;

	if (len > OCICRYPT_MAX_PACKET || codec_b64_decode(text, len, &data, &data_len, NULL) < 0)
		return NULL;
	value = json_parse((const char *)data, data_len, NULL);
	mem_wipe_free(data, data_len);
	return value;
}

static char *encode_json(const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
	char *encoded = codec_b64_text(text, strlen(text));

	mem_wipe_free(text, strlen(text));
	return encoded;
}

bool ocicrypt_is_type(const char *type)
{
	size_t len = type ? strlen(type) : 0;

	return len > strlen(SUFFIX) && strcmp(type + len - strlen(SUFFIX), SUFFIX) == 0;
}

/* --- public options --- */

int ocicrypt_public(const json_t *annotations, unsigned char ret_hmac[DIGEST_SIZE], struct err *err)
{
	const char *text = json_text(annotations, OCICRYPT_PUBOPTS);
	auto_json json_t *options = text ? ocicrypt_json(text, strlen(text)) : NULL;
	const json_t *further = json_object_get(options, "cipheroptions");
	const char *what = NULL;

	if (!jose_shape_is(options, PUBLIC_MEMBERS, PUBLIC_OPTIONAL))
		what = "public options are missing or have unknown members";
	else if (!json_text(options, "cipher") ||
		 strcmp(json_text(options, "cipher"), OCICRYPT_CIPHER) != 0)
		what = "the cipher is not " OCICRYPT_CIPHER;
	else if (further && (!json_is_object(further) || json_object_size(further) > 0))
		what = "public cipher options would override the protected ones";
	else if (decode_fixed(json_text(options, "hmac"), ret_hmac, DIGEST_SIZE) < 0)
		what = "the HMAC is not 32 bytes";
	return what ? err_set(err, ERR_UNPROCESSABLE, "image.pubopts", "%s", what) : 0;
}

/* --- key packets --- */

const char *ocicrypt_next_packet(const char **list, size_t *ret_len)
{
	const char *start = *list;

	if (!start)
		return NULL;
	*ret_len = strcspn(start, ",");
	*list = start[*ret_len] ? start + *ret_len + 1 : NULL;
	return start;
}

static int read_private(const unsigned char *plain, size_t len, struct ocicrypt_layer *layer)
{
	auto_json json_t *options = json_parse((const char *)plain, len, NULL);
	const json_t *further = json_object_get(options, "cipheroptions");
	unsigned char digest[DIGEST_SIZE];

	if (!jose_shape_is(options, PRIVATE_MEMBERS, NULL) ||
		!jose_shape_is(further, NONCE_MEMBER, NULL))
		return -1;
	if (decode_fixed(json_text(options, "symkey"), layer->key, sizeof(layer->key)) < 0 ||
		decode_fixed(json_text(further, "nonce"), layer->nonce, sizeof(layer->nonce)) < 0)
		return -1;
	if (!json_text(options, "digest") ||
		digest_parse(json_text(options, "digest"), digest, NULL) < 0)
		return -1;
	digest_format(digest, layer->inner_digest);
	return 0;
}

/* go-jose puts a `kid` into the header when the public key came with one. */
static const char *const *members_of(const json_t *jwe)
{
	static const char *const with_kid[] = { "kid", NULL };
	auto_json json_t *header = NULL;

	if (jose_shape_header(jwe, &header, NULL) == 0 && json_object_get(header, "kid"))
		return with_kid;
	return NULL;
}

static int open_packet(
	const char *text, size_t len, const json_t *key, struct ocicrypt_layer *layer)
{
	auto_json json_t *jwe = ocicrypt_json(text, len);
	unsigned char *plain = NULL;
	size_t plain_len = 0;
	int done;

	if (!jwe || jose_decrypt(key, members_of(jwe), jwe, NULL, &plain, &plain_len, NULL) < 0)
		return -1;
	done = read_private(plain, plain_len, layer);
	mem_wipe_free(plain, plain_len);
	return done;
}

static int open_packets(
	const json_t *annotations, const json_t *key, struct ocicrypt_layer *layer, struct err *err)
{
	const char *list = json_text(annotations, OCICRYPT_JWE), *packet;
	size_t len = 0;

	if (!list || !*list)
		return err_set(err, ERR_UNPROCESSABLE, "image.no_packet",
			"the layer has no key packet of the kind JWE");
	for (unsigned n = 0; n < MAX_PACKETS && (packet = ocicrypt_next_packet(&list, &len)); n++)
		if (open_packet(packet, len, key, layer) == 0)
			return 0;
	return err_set(err, ERR_UNPROCESSABLE, "image.unwrap",
		"none of the layer's key packets opens with the image key");
}

static int read_descriptor(const json_t *descriptor, struct ocicrypt_layer *layer, struct err *err)
{
	const json_t *size = json_object_get(descriptor, "size");
	const char *digest = json_text(descriptor, "digest");
	unsigned char bytes[DIGEST_SIZE];

	if (!ocicrypt_is_type(json_text(descriptor, "mediaType")))
		return err_set(err, ERR_UNPROCESSABLE, "image.not_encrypted",
			"the layer is not encrypted");
	if (!json_is_integer(size) || json_integer_value(size) < 0 || !digest ||
		digest_parse(digest, bytes, NULL) < 0)
		return err_set(err, ERR_UNPROCESSABLE, "image.digest",
			"the layer's descriptor has no digest or size");
	layer->size = json_integer_value(size);
	return 0;
}

int ocicrypt_open(const json_t *descriptor, const json_t *image_private_jwk,
	struct ocicrypt_layer **ret_layer, struct err *err)
{
	const json_t *annotations = json_object_get(descriptor, ANNOTATIONS);
	struct ocicrypt_layer *layer = mem_alloc(sizeof(*layer));

	if (read_descriptor(descriptor, layer, err) < 0 ||
		ocicrypt_public(annotations, layer->hmac, err) < 0 ||
		open_packets(annotations, image_private_jwk, layer, err) < 0 ||
		ocicrypt_start(layer, err) < 0) {
		ocicrypt_layer_free(layer);
		return -1;
	}
	*ret_layer = layer;
	return 0;
}

const char *ocicrypt_inner_digest(const struct ocicrypt_layer *layer)
{
	return layer->inner_digest;
}

void ocicrypt_layer_free(struct ocicrypt_layer *layer)
{
	if (layer)
		EVP_MAC_CTX_free(layer->mac); /* wipes its key */
	mem_wipe_free(layer, sizeof(*layer));
}

/* --- making the annotations --- */

static json_t *private_options(const struct ocicrypt_layer *layer)
{
	char *key = codec_b64_text(layer->key, sizeof(layer->key));
	char *nonce = codec_b64_text(layer->nonce, sizeof(layer->nonce));
	json_t *options = json_pack("{s:s,s:s,s:{s:s}}", "symkey", key, "digest",
		layer->inner_digest, "cipheroptions", "nonce", nonce);

	mem_wipe_free(key, strlen(key));
	mem_wipe_free(nonce, strlen(nonce));
	return options;
}

static int wrap(
	const struct ocicrypt_layer *layer, const json_t *jwk, json_t **ret_jwe, struct err *err)
{
	auto_json json_t *options = private_options(layer);
	char *text = json_dumps(options, JSON_COMPACT);
	int done = jose_encrypt(jwk, NULL, text, strlen(text), ret_jwe, err);

	mem_wipe_free(text, strlen(text));
	return done;
}

int ocicrypt_annotate(const struct ocicrypt_layer *layer, const json_t *image_public_jwk,
	json_t **ret_annotations, struct err *err)
{
	auto_free char *hmac = codec_b64_text(layer->hmac, sizeof(layer->hmac));
	auto_json json_t *public = json_pack(
		"{s:s,s:s,s:{}}", "cipher", OCICRYPT_CIPHER, "hmac", hmac, "cipheroptions");
	auto_free char *packet = NULL, *options = NULL;
	auto_json json_t *jwe = NULL;

	if (wrap(layer, image_public_jwk, &jwe, err) < 0)
		return -1;
	packet = encode_json(jwe);
	options = encode_json(public);
	*ret_annotations = json_pack("{s:s,s:s}", OCICRYPT_JWE, packet, OCICRYPT_PUBOPTS, options);
	return 0;
}
