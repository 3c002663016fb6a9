/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ocicrypt layers (github.com/containers/ocicrypt; proven against skopeo 1.9.3): AES-256-CTR with
 * HMAC-SHA256 over the ciphertext, the layer key wrapped in packets: JWE for RSA and EC keys, PKCS
 * #7 for RSA certificates, any one of which opens the layer. We refuse public cipheroptions, and
 * verify HMAC and the inner digest: skopeo does not check the latter.
 */
#ifndef STRONGROOM_OCICRYPT_H
#define STRONGROOM_OCICRYPT_H

#include <jansson.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/digest.h"
#include "lib/err.h"

#define OCICRYPT_ANNOTATIONS "org.opencontainers.image.enc."
#define OCICRYPT_PACKETS OCICRYPT_ANNOTATIONS "keys."
#define OCICRYPT_JWE "org.opencontainers.image.enc.keys.jwe"
#define OCICRYPT_PKCS7 "org.opencontainers.image.enc.keys.pkcs7"
#define OCICRYPT_PUBOPTS "org.opencontainers.image.enc.pubopts"

/* Whom layer keys are wrapped to, or who opens them: a public or private RSA or EC key. With a
 * certificate packets are of the kind PKCS #7, and those open too. */
struct ocicrypt_key {
	EVP_PKEY *key;
	X509 *certificate;
};
struct ocicrypt_keys {
	struct ocicrypt_key *list;
	size_t n;
};
/* Keys of P-256, P-384 and RSA from 2048 bits; certificates of RSA keys. The list takes them over.
 * key.invalid, cert.* */
int ocicrypt_keys_add(struct ocicrypt_keys *keys, EVP_PKEY *key, X509 *certificate, struct err *err)
	__attribute__((warn_unused_result));
int ocicrypt_keys_add_jwk(struct ocicrypt_keys *keys, const json_t *jwk, struct err *err)
	__attribute__((warn_unused_result));
/* A public key, and a certificate, in PEM. */
int ocicrypt_keys_add_public(struct ocicrypt_keys *keys, const char *pem, size_t len,
	struct err *err) __attribute__((warn_unused_result));
int ocicrypt_keys_add_certificate(struct ocicrypt_keys *keys, const char *pem, size_t len,
	struct err *err) __attribute__((warn_unused_result));
/* Gives a certificate to the private key among them that is its own. */
int ocicrypt_keys_match(struct ocicrypt_keys *keys, const char *pem, size_t len, struct err *err)
	__attribute__((warn_unused_result));
void ocicrypt_keys_release(struct ocicrypt_keys *keys);
#define auto_ocicrypt_keys __attribute__((cleanup(ocicrypt_keys_release))) struct ocicrypt_keys

struct ocicrypt_layer; /* one layer being encrypted or decrypted */

/* Encrypts a (compressed) layer blob read from in_fd into out_fd. Results: what the descriptor
 * needs. */
struct ocicrypt_result {
	char digest[DIGEST_TEXT_SIZE];	     /* of the ciphertext */
	char inner_digest[DIGEST_TEXT_SIZE]; /* of the layer blob */
	long long size;
	json_t *annotations; /* key packets and pubopts; json_decref */
};
/* Bytes that are done; may be NULL. */
typedef void ocicrypt_progress(void *arg, long long done);
struct ocicrypt_watch {
	ocicrypt_progress *progress;
	void *arg;
};
int ocicrypt_encrypt(int in_fd, int out_fd, const struct ocicrypt_keys *recipients,
	const struct ocicrypt_watch *watch, struct ocicrypt_result *ret_result, struct err *err)
	__attribute__((warn_unused_result));

/* Opens the key packets of a layer descriptor with any of these private keys. image.pubopts,
 * image.no_packet, image.unwrap. */
int ocicrypt_open(const json_t *descriptor, const struct ocicrypt_keys *keys,
	struct ocicrypt_layer **ret_layer, struct err *err) __attribute__((warn_unused_result));
/* The ciphertext in its order, as it is fetched. Whoever fetches compares the descriptor's digest.
 */
int ocicrypt_add(struct ocicrypt_layer *layer, const void *data, size_t len, struct err *err)
	__attribute__((warn_unused_result));
/* All of a file instead, and the digest compared: image.digest. */
int ocicrypt_add_file(struct ocicrypt_layer *layer, int fd, const char *expected, struct err *err)
	__attribute__((warn_unused_result));
/* What was added is in in_fd now. Size and HMAC are checked before the first byte is deciphered,
 * the inner digest behind the last (what came out is in out_fd then): image.digest, image.hmac,
 * image.inner_digest. */
int ocicrypt_decrypt(struct ocicrypt_layer *layer, int in_fd, int out_fd,
	const struct ocicrypt_watch *watch, struct err *err) __attribute__((warn_unused_result));
const char *ocicrypt_inner_digest(const struct ocicrypt_layer *layer);
void ocicrypt_layer_free(struct ocicrypt_layer *layer); /* wipes */

/* A layer's descriptor with its layer key wrapped anew: to these recipients and nobody else. The
 * blob stays what it is. */
int ocicrypt_rewrap(json_t *descriptor, const struct ocicrypt_keys *keys,
	const struct ocicrypt_keys *recipients, struct err *err)
	__attribute__((warn_unused_result));
/* Takes away the annotations whose names begin so. */
void ocicrypt_strip(json_t *annotations, const char *prefix);
bool ocicrypt_is_type(const char *media_type); /* ends in +encrypted */

/* Without any key: every layer that says `+encrypted` has a known cipher, an hmac of 32 bytes,
 * empty public cipheroptions, and at least one key packet, each well-formed and wrapped to public
 * keys by an algorithm of the list, at most OCICRYPT_MAX_RECIPIENTS in all. image.not_encrypted
 * names the layer and the reason. *ret_layers has an entry for each layer: null when it does not
 * say so, else whom its packets are for, as far as they tell:
 * [{"scheme":"jwe"|"pkcs7","kid","issuer_serial","issuer","serial"}, …].
 */
int ocicrypt_check_layers(const json_t *manifest, json_t **ret_layers, struct err *err);
#define OCICRYPT_MAX_RECIPIENTS 32u
/* The same, and every layer says so. */
int ocicrypt_check_manifest(const json_t *manifest, struct err *err);

#endif
