/* SPDX-License-Identifier: Apache-2.0 */
/* Images of an OCI layout, encrypted or decrypted into another layout: every child of an index,
 * every layer, everything else as it is. */
#ifndef STRONGROOM_CLIENT_IMAGE_CRYPT_H
#define STRONGROOM_CLIENT_IMAGE_CRYPT_H

#include <jansson.h>

#include "client/image.h"
#include "lib/ocicrypt.h"

struct image_crypt {
	const char *from, *to;			/* layouts; `to` is made */
	const struct ocicrypt_keys *keys;	/* private, to decrypt with */
	const struct ocicrypt_keys *recipients; /* to encrypt to */
	image_progress *progress;		/* may be NULL */
	void *progress_arg;
};

/* To the recipients. Docker's media types become OCI's, what BuildKit attests in clear is left
 * out. image.already_encrypted, oci.* */
int image_encrypt(const struct image_crypt *crypt, struct err *err)
	__attribute__((warn_unused_result));
/* With the keys; digest, HMAC and inner digest of every layer are verified.
 * image.not_encrypted, image.unwrap, image.hmac, image.inner_digest, oci.digest */
int image_decrypt(const struct image_crypt *crypt, struct err *err)
	__attribute__((warn_unused_result));

/* Both, with fresh layer keys; no plaintext gets a name on the way. */
int image_reencrypt(const struct image_crypt *crypt, struct err *err)
	__attribute__((warn_unused_result));

/* The blob in `in_fd` becomes one of the layout `crypt->to`; `descriptor` says so afterwards.
 * `done` and `total`: bytes of all layers, for the progress. */
int image_seal_layer(const struct image_crypt *crypt, int in_fd, long long done, long long total,
	json_t *descriptor, char ret_inner[DIGEST_TEXT_SIZE], struct err *err)
	__attribute__((warn_unused_result));

#endif
