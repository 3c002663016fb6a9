/* SPDX-License-Identifier: Apache-2.0 */
/* Part of fetch: verification of a server's chain against a pinned CA key. */
#ifndef STRONGROOM_FETCH_PIN_H
#define STRONGROOM_FETCH_PIN_H

#include <openssl/ssl.h>
#include <stdbool.h>

struct fetch_pin {
	const char *spki; /* "sha256:…" */
	bool has_roots;	  /* a bundle was loaded too: both must hold */
};

/* Every handshake of `ctx` is judged by `pin`, which must outlive it. */
void fetch_pin_install(SSL_CTX *ctx, struct fetch_pin *pin);

#endif
