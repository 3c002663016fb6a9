/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pinned CA key (fetch_conf.ca_spki). With a bundle of roots the verified chain must contain the
 * key; without one the server sends its CA certificate along, and whatever carries the pinned key
 * is the trust anchor: its name may be anything, only the holder of the key can have signed what
 * hangs below it.
 */
#include "lib/fetch_pin.h"

#include <openssl/x509.h>
#include <string.h>

#include "lib/digest.h"

static bool has_key(X509 *cert, const char *spki)
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	char text[DIGEST_TEXT_SIZE];

	if (len <= 0)
		return false;
	digest_text(der, (size_t)len, text);
	OPENSSL_free(der);
	return strcmp(text, spki) == 0;
}

static bool contains_key(const STACK_OF(X509) * chain, const char *spki)
{
	for (int i = 0; i < sk_X509_num(chain); i++) {
		if (has_key(sk_X509_value(chain, i), spki))
			return true;
	}
	return false;
}

/* Borrowed certificates; the caller frees the stack only. */
static STACK_OF(X509) * anchors_of(X509_STORE_CTX *ctx, const char *spki)
{
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
	STACK_OF(X509) *anchors = sk_X509_new_null();

	for (int i = 0; anchors && i < sk_X509_num(sent); i++) {
		X509 *cert = sk_X509_value(sent, i);

		if (has_key(cert, spki) && sk_X509_push(anchors, cert) == 0)
			break;
	}
	return anchors;
}

static int verify(X509_STORE_CTX *ctx, void *arg)
{
	const struct fetch_pin *pin = arg;
	STACK_OF(X509) *anchors = NULL;
	bool ok;

	if (!pin->has_roots) {
		anchors = anchors_of(ctx, pin->spki);
		if (!anchors)
			return 0;
		X509_STORE_CTX_set0_trusted_stack(ctx, anchors);
		X509_VERIFY_PARAM_set_flags(
			X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	}
	ok = X509_verify_cert(ctx) == 1;
	if (ok && !contains_key(X509_STORE_CTX_get0_chain(ctx), pin->spki)) {
		X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_UNTRUSTED);
		ok = false;
	}
	sk_X509_free(anchors);
	return ok;
}

void fetch_pin_install(SSL_CTX *ctx, struct fetch_pin *pin)
{
	SSL_CTX_set_cert_verify_callback(ctx, verify, pin);
}
