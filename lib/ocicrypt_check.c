/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's rule on a manifest, without any key at hand: each layer's key is wrapped to public
 * keys, by algorithms that we know, and every packet is what its name says. So a packet that
 * everybody could open (alg `dir`, a password) does not pass as encryption.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt_layer.h"

#define PKCS7 "org.opencontainers.image.enc.keys.pkcs7"
#define MAX_LAYERS 127
#define MAX_RECIPIENTS 32u /* of a layer, in all its packets */
#define MAX_WRAPPED 4096u  /* bytes of a wrapped key, and of what it opens */

static const char *const WRAPS[] = { "RSA-OAEP", "RSA-OAEP-256", "ECDH-ES+A128KW", "ECDH-ES+A192KW",
	"ECDH-ES+A256KW" };

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

static const char *recipient_fault(const json_t *recipient, const json_t *header)
{
	const char *common = json_text(header, "alg");
	const char *own = json_text(json_object_get(recipient, "header"), "alg");
	const char *algorithm = own ? own : common;

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

static const char *recipients_fault(const json_t *jwe, const json_t *header, size_t *count)
{
	const json_t *list = json_object_get(jwe, "recipients");
	const char *fault = NULL;
	json_t *recipient;
	size_t i;

	if (!list) {
		*count += 1;
		return recipient_fault(jwe, header);
	}
	if (!json_is_array(list) || json_array_size(list) == 0)
		return "it has no recipients";
	*count += json_array_size(list);
	json_array_foreach (list, i, recipient) {
		if (!fault)
			fault = recipient_fault(recipient, header);
	}
	return fault;
}

static const char *jwe_fault(const char *text, size_t len, size_t *count)
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
	return recipients_fault(jwe, header, count);
}

/* --- PKCS #7 as ocicrypt writes it: not quite DER, so no library reads it --- */

struct span {
	const unsigned char *at;
	size_t len;
};

#define OID(text)                                                                                  \
	{                                                                                          \
		(const unsigned char *)(text), sizeof(text) - 1                                    \
	}
static const struct span ENVELOPED = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03");
static const struct span DATA = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01");
static const struct span RSA_KEY = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01");
static const struct span AES128_GCM = OID("\x60\x86\x48\x01\x65\x03\x04\x01\x06");
static const struct span AES256_GCM = OID("\x60\x86\x48\x01\x65\x03\x04\x01\x2e");

enum { INTEGER = 0x02, OCTETS = 0x04, OBJECT = 0x06, SEQUENCE = 0x30, SET = 0x31, TAGGED = 0xa0 };

/* Takes the next element off `in`, if it has that tag. */
static bool take(struct span *in, unsigned tag, struct span *ret_inside)
{
	size_t head = 2, len;

	if (in->len < 2 || in->at[0] != tag)
		return false;
	len = in->at[1];
	if (len & 0x80) {
		size_t bytes = len & 0x7f;

		if (bytes == 0 || bytes > 3 || in->len < head + bytes)
			return false;
		len = 0;
		for (size_t i = 0; i < bytes; i++)
			len = len << 8 | in->at[head + i];
		head += bytes;
	}
	if (len > in->len - head)
		return false;
	*ret_inside = (struct span) { in->at + head, len };
	*in = (struct span) { in->at + head + len, in->len - head - len };
	return true;
}

static bool take_object(struct span *in, const struct span *wanted)
{
	struct span oid;

	return take(in, OBJECT, &oid) && oid.len == wanted->len &&
	       memcmp(oid.at, wanted->at, oid.len) == 0;
}

/* One RecipientInfo: a certificate's issuer and serial, and a key by RSA. */
static bool take_recipient(struct span *recipients)
{
	struct span recipient, version, who, name, serial, algorithm, key;

	return take(recipients, SEQUENCE, &recipient) && take(&recipient, INTEGER, &version) &&
	       take(&recipient, SEQUENCE, &who) && take(&who, SEQUENCE, &name) &&
	       take(&who, INTEGER, &serial) && take(&recipient, SEQUENCE, &algorithm) &&
	       take_object(&algorithm, &RSA_KEY) && take(&recipient, OCTETS, &key) &&
	       key.len >= 256 && key.len <= MAX_WRAPPED;
}

static bool is_content(struct span content)
{
	struct span algorithm, again, bytes;

	if (!take_object(&content, &DATA) || !take(&content, SEQUENCE, &algorithm))
		return false;
	again = algorithm;
	if (!take_object(&algorithm, &AES128_GCM) && !take_object(&again, &AES256_GCM))
		return false;
	return (take(&content, TAGGED, &bytes) || take(&content, TAGGED & ~0x20u, &bytes)) &&
	       bytes.len > 16;
}

static const char *envelope_fault(struct span in, size_t *count)
{
	struct span info, tagged, envelope, version, recipients, content;

	if (!take(&in, SEQUENCE, &info) || in.len > 0 || !take_object(&info, &ENVELOPED) ||
		!take(&info, TAGGED, &tagged) || !take(&tagged, SEQUENCE, &envelope) ||
		!take(&envelope, INTEGER, &version) || !take(&envelope, SET, &recipients) ||
		!take(&envelope, SEQUENCE, &content))
		return "it is no PKCS #7 EnvelopedData";
	if (recipients.len == 0)
		return "it has no recipients";
	for (; recipients.len > 0; (*count)++) {
		if (!take_recipient(&recipients))
			return "a recipient has no key wrapped by RSA of 2048 bits or more";
	}
	return is_content(content) ? NULL : "its content is not encrypted by AES-GCM";
}

static const char *pkcs7_fault(const char *text, size_t len, size_t *count)
{
	auto_free unsigned char *data = NULL;
	size_t data_len = 0;

	if (len > OCICRYPT_MAX_PACKET || codec_b64_decode(text, len, &data, &data_len, NULL) < 0)
		return "it is no PKCS #7 EnvelopedData";
	return envelope_fault((struct span) { data, data_len }, count);
}

/* --- the rule --- */

static const struct {
	const char *annotation, *kind;
	const char *(*fault)(const char *text, size_t len, size_t *count);
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
	size_t layer, const json_t *annotations, size_t kind, size_t *count, struct err *err)
{
	const char *list = json_text(annotations, KINDS[kind].annotation), *packet, *fault;
	size_t len = 0;

	for (unsigned n = 1; (packet = ocicrypt_next_packet(&list, &len)); n++) {
		fault = KINDS[kind].fault(packet, len, count);
		if (fault)
			return err_set(err, ERR_UNPROCESSABLE, "image.not_encrypted",
				"layer %zu: key packet %u of the kind %s: %s", layer, n,
				KINDS[kind].kind, fault);
		if (*count > MAX_RECIPIENTS)
			return refuse(layer, "it is encrypted to more than 32 recipients", err);
	}
	return 0;
}

static int check_layer(size_t number, const json_t *layer, struct err *err)
{
	const json_t *annotations = json_object_get(layer, "annotations");
	struct err inner = { .kind = ERR_NONE };
	unsigned char hmac[DIGEST_SIZE];
	size_t count = 0;

	if (!ocicrypt_is_type(json_text(layer, "mediaType")))
		return refuse(number, "its media type does not end in +encrypted", err);
	if (ocicrypt_public(annotations, hmac, &inner) < 0)
		return refuse(number, inner.detail, err);
	for (size_t kind = 0; kind < ARRAY_LEN(KINDS); kind++) {
		if (check_packets(number, annotations, kind, &count, err) < 0)
			return -1;
	}
	return count > 0 ? 0 : refuse(number, "it has no key packet", err);
}

int ocicrypt_check_manifest(const json_t *manifest, struct err *err)
{
	const json_t *layers = json_object_get(manifest, "layers");
	json_t *layer;
	size_t i;

	if (!json_is_array(layers) || json_array_size(layers) == 0 ||
		json_array_size(layers) > MAX_LAYERS)
		return err_set(err, ERR_UNPROCESSABLE, "image.not_encrypted",
			"the manifest has no layers, or more than %d", MAX_LAYERS);
	json_array_foreach (layers, i, layer) {
		if (check_layer(i, layer, err) < 0)
			return -1;
	}
	return 0;
}
