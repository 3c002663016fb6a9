/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of ocicrypt share: annotations, the opened layer, and the second thread that
 * hashes beside the first. */
#ifndef STRONGROOM_OCICRYPT_LAYER_H
#define STRONGROOM_OCICRYPT_LAYER_H

#include <jansson.h>
#include <openssl/types.h>
#include <pthread.h>
#include <stdbool.h>

#include "lib/digest.h"
#include "lib/ocicrypt.h"

#define OCICRYPT_CIPHER "AES_256_CTR_HMAC_SHA256"
#define OCICRYPT_KEY 32u
#define OCICRYPT_NONCE 16u

struct ocicrypt_layer {
	unsigned char key[OCICRYPT_KEY];
	unsigned char nonce[OCICRYPT_NONCE];
	unsigned char hmac[DIGEST_SIZE];
	char digest[DIGEST_TEXT_SIZE]; /* of the ciphertext that was made */
	char inner_digest[DIGEST_TEXT_SIZE];
	long long size; /* of the blob */
	EVP_MAC_CTX *mac;
	long long added; /* bytes of ciphertext that the HMAC has */
	bool is_found;	 /* of a file at once: its HMAC is `found` */
	unsigned char found[DIGEST_SIZE];
};

/* Starts the HMAC with the layer's key; ocicrypt_add() goes on with it. */
int ocicrypt_start(struct ocicrypt_layer *layer, struct err *err);

/* --- annotations of a layer's descriptor --- */

#define OCICRYPT_MAX_PACKET (64u * 1024)

/* Base64 JSON, or NULL. */
json_t *ocicrypt_json(const char *text, size_t len);
/* The next of a comma-separated list: moves *list on; NULL at the end. */
const char *ocicrypt_next_packet(const char **list, size_t *ret_len);
/* Public options: image.pubopts. */
int ocicrypt_public(
	const json_t *annotations, unsigned char ret_hmac[DIGEST_SIZE], struct err *err);

/* The annotations of a layer with these keys. */
int ocicrypt_annotate(const struct ocicrypt_layer *layer, const struct ocicrypt_keys *recipients,
	json_t **ret_annotations, struct err *err);

/*
 * A ring of buffers between the thread that reads and ciphers and one that hashes. The owner takes
 * a buffer, fills it, gives it, and may still read it until it takes that buffer again.
 */
#define SIDE_BUFFERS 8u
#define SIDE_BUFFER_SIZE (64u * 1024) /* with its plaintext within a core's second-level cache */

struct side {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool threaded, ended;
	unsigned given, taken; /* counts of buffers; lock */
	size_t lens[SIDE_BUFFERS];
	unsigned char *buffers[SIDE_BUFFERS];
	void (*work)(void *arg, const void *data, size_t len);
	void *arg;
};

void side_start(
	struct side *side, void (*work)(void *arg, const void *data, size_t len), void *arg);
unsigned char *side_take(struct side *side); /* waits until one is free */
void side_give(struct side *side, size_t len);
void side_finish(struct side *side); /* waits until all is worked off; wipes */

#endif
