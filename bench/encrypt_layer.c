/* SPDX-License-Identifier: Apache-2.0 */
/* encrypt_layer IN OUT: the client's encryption of one image layer to a fresh image key, and
 * nothing else, so that it can be timed as a process beside skopeo. */
#include <fcntl.h>
#include <stdio.h>

#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"

static int encrypt(const char *from, const char *to, struct err *err)
{
	auto_fd int in = open(from, O_RDONLY | O_CLOEXEC);
	auto_fd int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	auto_json json_t *private = jose_key_new("enc");
	auto_ocicrypt_keys keys = { .n = 0 };
	struct ocicrypt_result result = { .size = 0 };
	int rc;

	if (in < 0 || out < 0)
		rc = err_errno(err, "open '%s' or '%s'", from, to);
	else
		rc = ocicrypt_keys_add_jwk(&keys, private, err);
	if (rc == 0)
		rc = ocicrypt_encrypt(in, out, &keys, NULL, &result, err);
	if (rc == 0)
		printf("%s %lld\n", result.digest, result.size);
	json_decref(result.annotations);
	return rc;
}

int main(int argc, char **argv)
{
	struct err err;

	if (argc != 3) {
		fputs("usage: encrypt_layer IN OUT\n", stderr);
		return 2;
	}
	if (encrypt(argv[1], argv[2], &err) == 0)
		return 0;
	fprintf(stderr, "encrypt_layer: %s: %s\n", err.code, err.detail);
	return 1;
}
