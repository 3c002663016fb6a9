/* SPDX-License-Identifier: Apache-2.0 */
/* What cert.c and the JOSE modules share about keys; everybody else uses cert.h. */
#ifndef STRONGROOM_CERT_KEY_H
#define STRONGROOM_CERT_KEY_H

#include <stdbool.h>

#include "lib/cert.h"

#define CERT_ALGORITHM_SIZE 16u

/* The name that cert_info.algorithm carries; cert.key_type for a key of no allowed kind or
 * encoding. */
int cert_key_algorithm(EVP_PKEY *key, char ret_name[CERT_ALGORITHM_SIZE], struct err *err);

#endif
