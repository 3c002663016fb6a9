/* SPDX-License-Identifier: Apache-2.0 */
/* Whom images are encrypted to, and what opens them: the options --recipient, --new-key, --key. */
#ifndef STRONGROOM_CLIENT_IMAGE_KEYS_H
#define STRONGROOM_CLIENT_IMAGE_KEYS_H

#include "client/cli.h"
#include "lib/ocicrypt.h"

#define IMAGE_KEYS_RECIPIENT                                                                       \
	{                                                                                          \
		"recipient", "LIST",                                                               \
			"who opens it: jwe:KEY.pem or pkcs7:CERTIFICATE.pem, joined by ','"        \
	}
#define IMAGE_KEYS_NEW                                                                             \
	{                                                                                          \
		"new-key", "FILE", "encrypt to this P-256 key; it is made when it is not there"    \
	}
#define IMAGE_KEYS_KEY                                                                             \
	{                                                                                          \
		"key", "LIST",                                                                     \
			"what opens it: private keys (PEM, or of a project's keys/) and "          \
			"certificates, joined by ','"                                              \
	}

/* --recipient and --new-key; none at all is fine with `optional`. usage.option, key.invalid, cert.*
 */
int image_keys_recipients(const struct cli *cli, bool optional, struct ocicrypt_keys *keys,
	struct err *err) __attribute__((warn_unused_result));
/* --key: certificates go to their keys. */
int image_keys_private(const struct cli *cli, bool optional, struct ocicrypt_keys *keys,
	struct err *err) __attribute__((warn_unused_result));

#endif
