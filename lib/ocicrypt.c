/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in a layer's descriptor: public options, key packets and, inside a packet, the
 * private options. Public options win over private ones in ocicrypt, unauthenticated: so they must
 * hold nothing but the cipher's name and the HMAC.
 */
#include "lib/ocicrypt.h"

#include <openssl/evp.h>

#include "lib/codec.h"
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt_layer.h"
#include "lib/ocicrypt_packet.h"
#include "lib/pkcs7.h"

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
	else if (!json_text_is(options, "cipher", OCICRYPT_CIPHER))
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

static bool open_jwe(const struct ocicrypt_key *key, const unsigned char *data, size_t len,
	unsigned char **ret_plain, size_t *ret_len)
{
	return ocicrypt_jwe_open(key->key, (const char *)data, len, ret_plain, ret_len);
}

static bool open_pkcs7(const struct ocicrypt_key *key, const unsigned char *data, size_t len,
	unsigned char **ret_plain, size_t *ret_len)
{
	return key->certificate &&
	       pkcs7_open(key->certificate, key->key, data, len, ret_plain, ret_len);
}

static const struct {
	const char *annotation;
	bool (*open)(const struct ocicrypt_key *key, const unsigned char *data, size_t len,
		unsigned char **ret_plain, size_t *ret_len);
} kinds[] = { { OCICRYPT_JWE, open_jwe }, { OCICRYPT_PKCS7, open_pkcs7 } };

static bool open_packet(size_t kind, const unsigned char *data, size_t data_len,
	const struct ocicrypt_keys *keys, struct ocicrypt_layer *layer)
{
	bool done = false;

	for (size_t i = 0; i < keys->n && !done; i++) {
		unsigned char *plain = NULL;
		size_t len = 0;

		if (kinds[kind].open(&keys->list[i], data, data_len, &plain, &len))
			done = read_private(plain, len, layer) == 0;
		mem_wipe_free(plain, len);
	}
	return done;
}

static bool open_list(size_t kind, const char *list, const struct ocicrypt_keys *keys,
	struct ocicrypt_layer *layer)
{
	const char *packet;
	size_t len = 0;

	for (unsigned n = 0; n < MAX_PACKETS && (packet = ocicrypt_next_packet(&list, &len)); n++) {
		auto_free unsigned char *data = NULL;
		size_t data_len = 0;

		if (len <= OCICRYPT_MAX_PACKET &&
			codec_b64_decode(packet, len, &data, &data_len, NULL) == 0 &&
			open_packet(kind, data, data_len, keys, layer))
			return true;
	}
	return false;
}

static int open_packets(const json_t *annotations, const struct ocicrypt_keys *keys,
	struct ocicrypt_layer *layer, struct err *err)
{
	bool any = false;

	for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++) {
		const char *list = json_text(annotations, kinds[kind].annotation);

		if (list && open_list(kind, list, keys, layer))
			return 0;
		any = any || (list && *list);
	}
	if (!any)
		return err_set(err, ERR_UNPROCESSABLE, "image.no_packet",
			"the layer has no key packet of the kinds JWE and PKCS7");
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

static int open_layer(const json_t *descriptor, const struct ocicrypt_keys *keys,
	struct ocicrypt_layer *layer, struct err *err)
{
	const json_t *annotations = json_object_get(descriptor, ANNOTATIONS);

	if (read_descriptor(descriptor, layer, err) < 0 ||
		ocicrypt_public(annotations, layer->hmac, err) < 0)
		return -1;
	return open_packets(annotations, keys, layer, err);
}

int ocicrypt_open(const json_t *descriptor, const struct ocicrypt_keys *keys,
	struct ocicrypt_layer **ret_layer, struct err *err)
{
	struct ocicrypt_layer *layer = mem_alloc(sizeof(*layer));

	if (open_layer(descriptor, keys, layer, err) < 0 || ocicrypt_start(layer, err) < 0) {
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

/* Appends to a comma-separated list. */
static void add_packet(json_t *annotations, const char *name, const void *data, size_t len)
{
	auto_free char *packet = codec_b64_text(data, len), *both = NULL;
	const char *before = json_text(annotations, name);

	if (before)
		both = mem_printf("%s,%s", before, packet);
	json_object_set_new(annotations, name, json_string(both ? both : packet));
}

static int seal_for(
	const struct ocicrypt_key *key, const char *text, json_t *annotations, struct err *err)
{
	auto_free unsigned char *der = NULL;
	auto_free char *jwe = NULL;
	size_t len = 0;

	if (key->certificate) {
		if (pkcs7_seal(key->certificate, text, strlen(text), &der, &len, err) < 0)
			return -1;
		add_packet(annotations, OCICRYPT_PKCS7, der, len);
		return 0;
	}
	if (ocicrypt_jwe_seal(key->key, text, strlen(text), &jwe, err) < 0)
		return -1;
	add_packet(annotations, OCICRYPT_JWE, jwe, strlen(jwe));
	return 0;
}

static int add_packets(const struct ocicrypt_layer *layer, const struct ocicrypt_keys *recipients,
	json_t *annotations, struct err *err)
{
	auto_json json_t *options = private_options(layer);
	char *text = json_dumps(options, JSON_COMPACT);
	int done = 0;

	for (size_t i = 0; i < recipients->n && done == 0; i++)
		done = seal_for(&recipients->list[i], text, annotations, err);
	mem_wipe_free(text, strlen(text));
	return done;
}

int ocicrypt_annotate(const struct ocicrypt_layer *layer, const struct ocicrypt_keys *recipients,
	json_t **ret_annotations, struct err *err)
{
	auto_free char *hmac = codec_b64_text(layer->hmac, sizeof(layer->hmac));
	auto_json json_t *public = json_pack(
		"{s:s,s:s,s:{}}", "cipher", OCICRYPT_CIPHER, "hmac", hmac, "cipheroptions");
	auto_free char *options = encode_json(public);
	auto_json json_t *annotations = json_pack("{s:s}", OCICRYPT_PUBOPTS, options);

	if (add_packets(layer, recipients, annotations, err) < 0)
		return -1;
	*ret_annotations = take_ptr(annotations);
	return 0;
}

/* --- changing a descriptor --- */

void ocicrypt_strip(json_t *annotations, const char *prefix)
{
	const char *name;
	json_t *value;
	void *next;

	json_object_foreach_safe(annotations, next, name, value)
	{
		if (strncmp(name, prefix, strlen(prefix)) == 0)
			json_object_del(annotations, name);
	}
}

int ocicrypt_rewrap(json_t *descriptor, const struct ocicrypt_keys *keys,
	const struct ocicrypt_keys *recipients, struct err *err)
{
	struct ocicrypt_layer *layer = mem_alloc(sizeof(*layer));
	json_t *annotations = json_object_get(descriptor, ANNOTATIONS);
	int done = open_layer(descriptor, keys, layer, err);

	if (done == 0) {
		ocicrypt_strip(annotations, OCICRYPT_PACKETS);
		done = add_packets(layer, recipients, annotations, err);
	}
	ocicrypt_layer_free(layer);
	return done;
}
