/* SPDX-License-Identifier: Apache-2.0 */
/* JOSE objects from outside. The first byte picks the reader; nothing may be accepted, for no input
 * knows the keys. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"
#include "proto/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *machine_key;
static EVP_PKEY *signing_key;

static void read_token(const char *text)
{
	json_t *out = NULL;

	if (jose_token_peek(text, &out, NULL) == 0)
		json_decref(out);
	if (jose_token_verify(signing_key, "at+jwt", false, text, &out, NULL) == 0)
		abort();
	if (jose_token_verify(signing_key, "dpop+jwt", true, text, &out, NULL) == 0)
		abort();
}

static void read_object(const json_t *value, unsigned which)
{
	static const char *const members[] = { "kid", NULL };
	char thumbprint[JOSE_THUMBPRINT_SIZE];
	json_t *header = NULL, *payload = NULL;
	auto_key EVP_PKEY *key = NULL;
	unsigned char *plain = NULL;
	json_t *layers = NULL;
	size_t len = 0;

	if (which == 1 &&
		jose_verify(signing_key, "x+jws", members, value, &header, &payload, NULL) == 0)
		abort();
	if (which == 2 &&
		jose_decrypt(machine_key, members, value, &header, &plain, &len, NULL) == 0)
		abort();
	if (which == 3 && jose_key_to_evp(value, &key, NULL) == 0 &&
		jose_key_thumbprint(value, thumbprint, NULL) < 0)
		abort();
	if (which == 4 && trust_grant_peek(value, &header, NULL) == 0)
		json_decref(header);
	if (which == 5 && ocicrypt_check_layers(value, &layers, NULL) == 0)
		json_decref(layers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = NULL;
	auto_json json_t *value = NULL;

	if (!machine_key) {
		auto_json json_t *jwk = jose_key_new("sig");

		machine_key = jose_key_new("enc");
		if (jose_key_to_evp(jwk, &signing_key, NULL) < 0)
			abort();
	}
	if (size == 0)
		return 0;
	text = mem_strndup((const char *)data + 1, size - 1);
	if (data[0] % 6 == 0) {
		read_token(text);
		return 0;
	}
	value = json_parse(text, strlen(text), NULL);
	if (value)
		read_object(value, data[0] % 6);
	return 0;
}
