/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificate-bound tokens (RFC 8705). The edge asks for a client certificate, proves in the
 * handshake that its key is there, and overwrites X-Client-Cert with it (percent-encoded PEM, empty
 * if there is none). Only its SHA-256 counts: nothing in it is believed, so nothing is parsed.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/auth_inner.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/web.h"

#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END "-----END CERTIFICATE-----"

static int malformed(struct err *err)
{
	return err_set(err, ERR_INVALID, "auth.bad_client_certificate",
		"X-Client-Cert is no PEM as the edge writes it");
}

/* In place; NULL unless all of it is right. */
static char *percent_decode(char *text)
{
	char *to = text;

	for (const char *at = text; *at; at++) {
		char digits[3] = "";
		unsigned char c = (unsigned char)*at;

		if (c == '%') {
			if (!at[1] || !at[2])
				return NULL;
			digits[0] = at[1] | (at[1] > '9' ? 0x20 : 0);
			digits[1] = at[2] | (at[2] > '9' ? 0x20 : 0);
			if (codec_hex_decode(digits, &c, 1, NULL) < 0 || c == '\0')
				return NULL;
			at += 2;
		}
		*to++ = (char)c;
	}
	*to = '\0';
	return text;
}

/* The base64 between the first BEGIN and its END without line ends, in place; NULL without both. */
static char *base64_of(char *pem, size_t *ret_len)
{
	char *end, *to = pem;

	if (strncmp(pem, BEGIN, strlen(BEGIN)) != 0)
		return NULL;
	end = strstr(pem, END);
	for (const char *at = pem + strlen(BEGIN); end && at < end; at++) {
		if (*at != '\n')
			*to++ = *at;
	}
	*ret_len = (size_t)(to - pem);
	return end ? pem : NULL;
}

int auth_client_certificate(const struct web_req *req, unsigned char ret_digest[DIGEST_SIZE],
	bool *ret_shown, struct err *err)
{
	const char *header = web_header(req, "X-Client-Cert");
	auto_free unsigned char *der = NULL;
	auto_free char *text = NULL;
	size_t len = 0;
	char *base64;

	*ret_shown = header && *header;
	if (!*ret_shown)
		return 0;
	text = mem_strdup(header);
	base64 = percent_decode(text) ? base64_of(text, &len) : NULL;
	if (!base64 || codec_b64_decode(base64, len, &der, &len, NULL) < 0 || len == 0)
		return malformed(err);
	digest_sha256(der, len, ret_digest);
	return 0;
}

int auth_binding_check(const struct web_req *req, const json_t *claims, struct err *err)
{
	const char *wanted = json_text(json_object_get(claims, "cnf"), AUTH_X5T);
	unsigned char digest[DIGEST_SIZE], expected[DIGEST_SIZE];
	bool shown;

	if (!wanted)
		return 0;
	if (auth_client_certificate(req, digest, &shown, err) < 0)
		return -1;
	if (!shown)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.certificate_missing",
			"the token is bound to a client certificate, and none was shown");
	if (codec_b64url_decode_fixed(wanted, expected, sizeof(expected), NULL) < 0 ||
		!digest_equal(digest, expected, sizeof(digest)))
		return err_set(err, ERR_UNAUTHENTICATED, "auth.certificate_mismatch",
			"the token is bound to another client certificate");
	return 0;
}
