/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens, assertions and client certificates as requests bring them: JWTs behind the first byte 0,
 * X-Client-Cert behind others. Nothing may verify, for no input knows a key; what is read before it
 * is verified must be of the shape that the code behind relies on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/jwt.h"
#include "lib/mem.h"
#include "lib/web_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *key;

static void read_token(const char *text)
{
	static const char *const algorithms[] = { "ES256", NULL };
	json_t *header = NULL, *claims = NULL, *verified = NULL;

	if (jwt_header(text, "at+jwt", algorithms, &header, NULL) == 0 &&
		strcmp(json_text(header, "alg"), "ES256") != 0)
		abort();
	if (jwt_claims(text, &claims, NULL) == 0 && !json_is_object(claims))
		abort();
	if (claims && jwt_check_times(claims, 5, NULL) == 0 &&
		!json_is_integer(json_object_get(claims, "exp")))
		abort();
	if (jose_token_verify(key, "at+jwt", false, text, &verified, NULL) == 0)
		abort();
	json_decref(header);
	json_decref(claims);
}

static void read_certificate(const char *text)
{
	unsigned char digest[DIGEST_SIZE];
	struct web_call call = { 0 };
	bool shown = false;

	call.req.head = &call;
	call.head.headers[0] = (struct web_pair) { "X-Client-Cert", text };
	call.head.n_headers = 1;
	if (auth_client_certificate(&call.req, digest, &shown, NULL) == 0 && shown != (*text != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = NULL;

	if (!key) {
		auto_json json_t *jwk = jose_key_new("sig");

		if (jose_key_to_evp(jwk, &key, NULL) < 0)
			abort();
	}
	if (size == 0)
		return 0;
	text = mem_strndup((const char *)data + 1, size - 1);
	if (data[0] == 0)
		read_token(text);
	else
		read_certificate(text);
	return 0;
}
