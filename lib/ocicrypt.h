/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ocicrypt layers (github.com/containers/ocicrypt; proven against skopeo 1.9.3): AES-256-CTR with
 * HMAC-SHA256 over the ciphertext, the layer key wrapped as JWE ECDH-ES+A256KW to the image key in
 * org.opencontainers.image.enc.keys.jwe. We refuse public cipheroptions, and verify HMAC
 * and the inner digest: skopeo does not check the latter.
 */
#ifndef STRONGROOM_OCICRYPT_H
#define STRONGROOM_OCICRYPT_H

#include <jansson.h>
#include <stddef.h>

#include "lib/digest.h"
#include "lib/err.h"

#define OCICRYPT_JWE "org.opencontainers.image.enc.keys.jwe"
#define OCICRYPT_PUBOPTS "org.opencontainers.image.enc.pubopts"

struct ocicrypt_layer; /* one layer being encrypted or decrypted */

/* Encrypts a (compressed) layer blob read from in_fd into out_fd. Results: what the descriptor
 * needs. */
struct ocicrypt_result {
	char digest[DIGEST_TEXT_SIZE];	     /* of the ciphertext */
	char inner_digest[DIGEST_TEXT_SIZE]; /* of the layer blob */
	long long size;
	json_t *annotations; /* {keys.jwe, pubopts}; json_decref */
};
int ocicrypt_encrypt(int in_fd, int out_fd, const json_t *image_public_jwk,
	struct ocicrypt_result *ret_result, struct err *err);

/* Opens the key packets of a layer descriptor with the image's private JWK. image.pubopts,
 * image.no_packet, image.unwrap. */
int ocicrypt_open(const json_t *descriptor, const json_t *image_private_jwk,
	struct ocicrypt_layer **ret_layer, struct err *err);
/* The ciphertext in its order, as it is fetched. Whoever fetches compares the descriptor's digest.
 */
int ocicrypt_add(struct ocicrypt_layer *layer, const void *data, size_t len, struct err *err)
	__attribute__((warn_unused_result));
/* What was added is in in_fd now. Size and HMAC are checked before the first byte is deciphered,
 * the inner digest behind the last: image.digest, image.hmac, image.inner_digest. */
int ocicrypt_decrypt(struct ocicrypt_layer *layer, int in_fd, int out_fd, struct err *err)
	__attribute__((warn_unused_result));
const char *ocicrypt_inner_digest(const struct ocicrypt_layer *layer);
void ocicrypt_layer_free(struct ocicrypt_layer *layer); /* wipes */

/* Gateway's rule on a manifest, without any key: every layer `+encrypted`, cipher known, hmac 32
 * bytes, public cipheroptions empty, at least one key packet, each well-formed and wrapped to
 * public keys by an algorithm of the list, at most 32 recipients. image.not_encrypted names the
 * layer and the reason. */
int ocicrypt_check_manifest(const json_t *manifest, struct err *err);

#endif
