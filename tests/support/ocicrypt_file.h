/* SPDX-License-Identifier: Apache-2.0 */
/* A whole file of ciphertext into a layer, as the agent adds it while it downloads. */
#ifndef STRONGROOM_TEST_OCICRYPT_FILE_H
#define STRONGROOM_TEST_OCICRYPT_FILE_H

#include <unistd.h>

#include "lib/ocicrypt.h"

/* In odd pieces; the descriptor's place stays. */
static int ocicrypt_file_add(struct ocicrypt_layer *layer, int fd, struct err *err)
{
	unsigned char piece[10007];
	off_t at = 0;
	ssize_t n;

	for (; (n = pread(fd, piece, sizeof(piece), at)) > 0; at += n)
		if (ocicrypt_add(layer, piece, (size_t)n, err) < 0)
			return -1;
	return n < 0 ? err_errno(err, "read the ciphertext") : 0;
}

#endif
