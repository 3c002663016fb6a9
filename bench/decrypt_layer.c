/* SPDX-License-Identifier: Apache-2.0 */
/* decrypt_layer LAYOUT KEY OUT: the client's decryption of the one layer of an encrypted image, its
 * digest, HMAC and inner digest verified, so that it can be timed as a process beside skopeo. */
#include <fcntl.h>
#include <stdio.h>

#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/mem.h"
#include "lib/oci_layout.h"
#include "lib/ocicrypt.h"

static int read_key(const char *path, struct ocicrypt_keys *keys, struct err *err)
{
	auto_buf pem = BUF_INIT(65536);
	EVP_PKEY *key = NULL;

	if (buf_read_file(&pem, path, err) < 0 ||
		cert_key_read((char *)pem.data, pem.len, &key, err) < 0)
		return -1;
	return ocicrypt_keys_add(keys, key, NULL, err);
}

static int decrypt(const char *layout, const struct oci_layer *blob,
	const struct ocicrypt_keys *keys, int out, struct err *err)
{
	struct ocicrypt_layer *layer = NULL;
	auto_fd int in = -1;
	int rc;

	if (oci_layout_open(layout, &blob->blob, &in, err) < 0 ||
		ocicrypt_open(blob->descriptor, keys, &layer, err) < 0)
		return -1;
	rc = ocicrypt_add_file(layer, in, blob->blob.digest, err);
	if (rc == 0)
		rc = ocicrypt_decrypt(layer, in, out, NULL, err);
	ocicrypt_layer_free(layer);
	return rc;
}

static int run(char **argv, struct err *err)
{
	auto_fd int out = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	auto_buf text = BUF_INIT(OCI_MAX_DOCUMENT);
	auto_oci_manifest manifest = { .json = NULL };
	auto_ocicrypt_keys keys = { .n = 0 };
	struct oci_blob blob;

	if (out < 0)
		return err_errno(err, "open '%s'", argv[2]);
	if (read_key(argv[1], &keys, err) < 0 || oci_layout_find(argv[0], NULL, &blob, err) < 0 ||
		oci_layout_read(argv[0], &blob, &text, err) < 0 ||
		oci_manifest_parse(text.data, text.len, &manifest, err) < 0)
		return -1;
	return decrypt(argv[0], &manifest.layers[0], &keys, out, err);
}

int main(int argc, char **argv)
{
	struct err err;

	if (argc != 4) {
		fputs("usage: decrypt_layer LAYOUT KEY OUT\n", stderr);
		return 2;
	}
	if (run(argv + 1, &err) == 0)
		return 0;
	fprintf(stderr, "decrypt_layer: %s: %s\n", err.code, err.detail);
	return 1;
}
