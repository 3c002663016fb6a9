/* SPDX-License-Identifier: Apache-2.0 */
/* The few elements of DER that an EnvelopedData has, read one behind the other and written from the
 * inside out. RSA is PKCS #1 v1.5 here: the format has no other. */
#include "lib/pkcs7.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/gcm.h"
#include "lib/id.h"
#include "lib/mem.h"

#define MAX_PACKET (64u * 1024)
#define WRITTEN_KEY 16u

#define OID(text)                                                                                  \
	{                                                                                          \
		(const unsigned char *)(text), sizeof(text) - 1                                    \
	}
static const struct span ENVELOPED = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03");
static const struct span DATA = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01");
static const struct span RSA_KEY = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01");
static const struct span AES128_GCM = OID("\x60\x86\x48\x01\x65\x03\x04\x01\x06");
static const struct span AES256_GCM = OID("\x60\x86\x48\x01\x65\x03\x04\x01\x2e");

enum {
	INTEGER = 0x02,
	OCTETS = 0x04,
	OBJECT = 0x06,
	BARE_SEQUENCE = 0x10, /* what Go wrote around the parameters */
	SEQUENCE = 0x30,
	SET = 0x31,
	BARE_TAGGED = 0x80,
	TAGGED_NONCE = 0x84,
	TAGGED = 0xa0,
};

/* --- reading --- */

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

static bool is_same(struct span a, struct span b)
{
	return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static bool take_object(struct span *in, struct span wanted)
{
	struct span oid;

	return take(in, OBJECT, &oid) && is_same(oid, wanted);
}

bool pkcs7_next(struct span *recipients, struct pkcs7_recipient *ret_recipient)
{
	struct span recipient, version, who, name, serial, algorithm, key, start, whole;

	if (!take(recipients, SEQUENCE, &recipient) || !take(&recipient, INTEGER, &version))
		return false;
	whole = recipient;
	if (!take(&recipient, SEQUENCE, &who))
		return false;
	start = who;
	if (!take(&who, SEQUENCE, &name) || !take(&who, INTEGER, &serial) ||
		!take(&recipient, SEQUENCE, &algorithm) || !take_object(&algorithm, RSA_KEY) ||
		!take(&recipient, OCTETS, &key) || key.len < 256 || key.len > PKCS7_MAX_KEY)
		return false;
	*ret_recipient = (struct pkcs7_recipient) {
		.issuer = { start.at, (size_t)(name.at + name.len - start.at) },
		.serial = serial,
		.who = { whole.at, (size_t)(start.at + start.len - whole.at) },
		.key = key,
	};
	return true;
}

static bool read_content(struct span content, struct pkcs7 *pkcs7)
{
	struct span algorithm, again, bytes, inside;

	if (!take_object(&content, DATA) || !take(&content, SEQUENCE, &algorithm))
		return false;
	again = algorithm;
	if (take_object(&algorithm, AES128_GCM))
		pkcs7->key_len = 16;
	else if (take_object(&again, AES256_GCM))
		pkcs7->key_len = 32;
	else
		return false;
	pkcs7->parameters = pkcs7->key_len == 16 ? algorithm : again;
	if (take(&content, TAGGED, &bytes))
		pkcs7->content = take(&bytes, OCTETS, &inside) ? inside : bytes;
	else if (!take(&content, BARE_TAGGED, &pkcs7->content))
		return false;
	return pkcs7->content.len > GCM_TAG;
}

bool pkcs7_parse(const unsigned char *der, size_t len, struct pkcs7 *ret_pkcs7)
{
	struct span in = { der, len }, info, tagged, envelope, version, content;

	return take(&in, SEQUENCE, &info) && in.len == 0 && take_object(&info, ENVELOPED) &&
	       take(&info, TAGGED, &tagged) && take(&tagged, SEQUENCE, &envelope) &&
	       take(&envelope, INTEGER, &version) && take(&envelope, SET, &ret_pkcs7->recipients) &&
	       take(&envelope, SEQUENCE, &content) && read_content(content, ret_pkcs7);
}

static bool find_nonce(struct span parameters, struct span *ret_nonce)
{
	struct span outer, inner;

	if (!take(&parameters, BARE_SEQUENCE, &outer) && !take(&parameters, SEQUENCE, &outer))
		return false;
	if (take(&outer, SEQUENCE, &inner))
		outer = inner;
	return (take(&outer, TAGGED_NONCE, ret_nonce) || take(&outer, OCTETS, ret_nonce)) &&
	       ret_nonce->len == GCM_NONCE;
}

/* --- certificates --- */

static bool issuer_of(X509 *certificate, struct span *ret_issuer)
{
	return X509_NAME_get0_der(
		       X509_get_issuer_name(certificate), &ret_issuer->at, &ret_issuer->len) == 1;
}

/* The whole element, as it stands in the certificate; free with OPENSSL_free(). */
static unsigned char *serial_of(X509 *certificate, size_t *ret_len)
{
	unsigned char *der = NULL;
	int len = i2d_ASN1_INTEGER(X509_get_serialNumber(certificate), &der);

	*ret_len = len > 0 ? (size_t)len : 0;
	return der;
}

bool pkcs7_is_for(const struct pkcs7_recipient *recipient, X509 *certificate)
{
	struct span issuer, whole, serial;
	unsigned char *der = serial_of(certificate, &whole.len);
	bool same;

	whole.at = der;
	same = issuer_of(certificate, &issuer) && is_same(issuer, recipient->issuer) &&
	       take(&whole, INTEGER, &serial) && is_same(serial, recipient->serial);
	OPENSSL_free(der);
	return same;
}

/* --- RSA --- */

/* `wraps` or unwraps at most `size` bytes; *len is how many there are. */
static bool rsa(EVP_PKEY *key, bool wraps, struct span in, unsigned char *out, size_t *len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool good = ctx && (wraps ? EVP_PKEY_encrypt_init(ctx) : EVP_PKEY_decrypt_init(ctx)) == 1 &&
		    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		    (wraps ? EVP_PKEY_encrypt(ctx, out, len, in.at, in.len)
			   : EVP_PKEY_decrypt(ctx, out, len, in.at, in.len)) == 1;

	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

/* --- opening --- */

static bool unwrap(X509 *certificate, EVP_PKEY *key, const struct pkcs7 *pkcs7,
	unsigned char ret_key[PKCS7_MAX_KEY])
{
	struct span recipients = pkcs7->recipients;
	struct pkcs7_recipient recipient;

	while (pkcs7_next(&recipients, &recipient)) {
		size_t len = PKCS7_MAX_KEY;

		if (pkcs7_is_for(&recipient, certificate) &&
			rsa(key, false, recipient.key, ret_key, &len) && len == pkcs7->key_len)
			return true;
	}
	return false;
}

bool pkcs7_open(X509 *certificate, EVP_PKEY *key, const unsigned char *der, size_t len,
	unsigned char **ret_plain, size_t *ret_len)
{
	unsigned char content_key[PKCS7_MAX_KEY], *plain;
	struct span nonce;
	struct pkcs7 pkcs7;
	size_t plain_len;
	bool good;

	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || !pkcs7_parse(der, len, &pkcs7) ||
		!find_nonce(pkcs7.parameters, &nonce))
		return false;
	plain_len = pkcs7.content.len - GCM_TAG;
	plain = mem_alloc(plain_len + 1);
	good = unwrap(certificate, key, &pkcs7, content_key) &&
	       gcm_open(
		       &(struct gcm) {
			       .key = content_key, .key_len = pkcs7.key_len, .nonce = nonce.at },
		       pkcs7.content.at, plain_len, plain);
	explicit_bzero(content_key, sizeof(content_key));
	if (!good) {
		mem_wipe_free(plain, plain_len);
		return false;
	}
	*ret_plain = plain;
	*ret_len = plain_len;
	return true;
}

/* --- writing --- */

/* An element; `buf` has a maximum that none of ours reaches. */
static int put(struct buf *buf, unsigned tag, const void *inside, size_t len, struct err *err)
{
	unsigned char head[4] = { (unsigned char)tag, 0x82, (unsigned char)(len >> 8),
		(unsigned char)len };
	size_t head_len = 4;

	if (len < 0x80) {
		head[1] = (unsigned char)len;
		head_len = 2;
	} else if (len < 0x100) {
		head[1] = 0x81;
		head[2] = (unsigned char)len;
		head_len = 3;
	}
	return buf_add(buf, head, head_len, err) < 0 ? -1 : buf_add(buf, inside, len, err);
}

static int put_buf(struct buf *buf, unsigned tag, const struct buf *inside, struct err *err)
{
	return put(buf, tag, inside->data, inside->len, err);
}

static int put_who(struct buf *buf, X509 *certificate, struct err *err)
{
	auto_buf who = BUF_INIT(MAX_PACKET);
	struct span issuer = { NULL, 0 };
	unsigned char *serial;
	size_t serial_len;
	int done = -1;

	serial = serial_of(certificate, &serial_len);
	if (!serial || !issuer_of(certificate, &issuer))
		err_set(err, ERR_INVALID, "cert.syntax", "the certificate has no serial number");
	else if (buf_add(&who, issuer.at, issuer.len, err) == 0 &&
		 buf_add(&who, serial, serial_len, err) == 0)
		done = put_buf(buf, SEQUENCE, &who, err);
	OPENSSL_free(serial);
	return done;
}

int pkcs7_issuer_serial(X509 *certificate, char ret_digest[DIGEST_TEXT_SIZE], struct err *err)
{
	auto_buf who = BUF_INIT(MAX_PACKET);

	if (put_who(&who, certificate, err) < 0)
		return -1;
	digest_text(who.data, who.len, ret_digest);
	return 0;
}

static int put_recipient(
	struct buf *buf, X509 *certificate, const struct span *wrapped, struct err *err)
{
	auto_buf algorithm = BUF_INIT(64), info = BUF_INIT(MAX_PACKET);

	if (put(&algorithm, OBJECT, RSA_KEY.at, RSA_KEY.len, err) < 0 ||
		put(&info, INTEGER, "", 1, err) < 0 || put_who(&info, certificate, err) < 0 ||
		put_buf(&info, SEQUENCE, &algorithm, err) < 0 ||
		put(&info, OCTETS, wrapped->at, wrapped->len, err) < 0)
		return -1;
	return put_buf(buf, SEQUENCE, &info, err);
}

static int put_content(struct buf *buf, const unsigned char nonce[GCM_NONCE],
	const struct span *sealed, struct err *err)
{
	auto_buf parameters = BUF_INIT(64), both = BUF_INIT(64), algorithm = BUF_INIT(128),
		 octets = BUF_INIT(MAX_PACKET), content = BUF_INIT(MAX_PACKET);
	const unsigned char tag_len = GCM_TAG;

	if (put(&parameters, TAGGED_NONCE, nonce, GCM_NONCE, err) < 0 ||
		put(&parameters, INTEGER, &tag_len, 1, err) < 0 ||
		put_buf(&both, SEQUENCE, &parameters, err) < 0 ||
		put(&algorithm, OBJECT, AES128_GCM.at, AES128_GCM.len, err) < 0 ||
		put_buf(&algorithm, BARE_SEQUENCE, &both, err) < 0 ||
		put(&octets, OCTETS, sealed->at, sealed->len, err) < 0 ||
		put(&content, OBJECT, DATA.at, DATA.len, err) < 0 ||
		put_buf(&content, SEQUENCE, &algorithm, err) < 0 ||
		put_buf(&content, TAGGED, &octets, err) < 0)
		return -1;
	return put_buf(buf, SEQUENCE, &content, err);
}

static int put_all(struct buf *buf, X509 *certificate, const struct span *wrapped,
	const unsigned char nonce[GCM_NONCE], const struct span *sealed, struct err *err)
{
	auto_buf recipient = BUF_INIT(MAX_PACKET), envelope = BUF_INIT(MAX_PACKET),
		 tagged = BUF_INIT(MAX_PACKET), info = BUF_INIT(MAX_PACKET);

	if (put_recipient(&recipient, certificate, wrapped, err) < 0 ||
		put(&envelope, INTEGER, "", 1, err) < 0 ||
		put_buf(&envelope, SET, &recipient, err) < 0 ||
		put_content(&envelope, nonce, sealed, err) < 0 ||
		put_buf(&tagged, SEQUENCE, &envelope, err) < 0 ||
		put(&info, OBJECT, ENVELOPED.at, ENVELOPED.len, err) < 0 ||
		put_buf(&info, TAGGED, &tagged, err) < 0)
		return -1;
	return put_buf(buf, SEQUENCE, &info, err);
}

int pkcs7_seal(X509 *certificate, const void *plain, size_t len, unsigned char **ret_der,
	size_t *ret_len, struct err *err)
{
	unsigned char key[WRITTEN_KEY], nonce[GCM_NONCE], wrapped[PKCS7_MAX_KEY];
	struct span bare = { key, sizeof(key) }, outside = { wrapped, sizeof(wrapped) };
	auto_free unsigned char *sealed = mem_alloc(len + GCM_TAG);
	auto_buf der = BUF_INIT(MAX_PACKET);
	bool good;

	rand_bytes(key, sizeof(key));
	rand_bytes(nonce, sizeof(nonce));
	good = gcm_seal(&(struct gcm) { .key = key, .key_len = sizeof(key), .nonce = nonce }, plain,
		       len, sealed) &&
	       rsa(X509_get0_pubkey(certificate), true, bare, wrapped, &outside.len);
	explicit_bzero(key, sizeof(key));
	if (!good)
		return err_set(err, ERR_INTERNAL, "internal.crypto", "cannot wrap by RSA");
	if (put_all(&der, certificate, &outside, nonce, &(struct span) { sealed, len + GCM_TAG },
		    err) < 0)
		return -1;
	*ret_der = take_ptr(der.data);
	*ret_len = der.len;
	der.len = 0;
	return 0;
}
