/* SPDX-License-Identifier: Apache-2.0 */
/* The shape checks that the JOSE modules share; everybody else uses jose.h. */
#ifndef STRONGROOM_JOSE_SHAPE_H
#define STRONGROOM_JOSE_SHAPE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

#define JOSE_MAX_HEADER 8192u
#define JOSE_MAX_BODY (1024u * 1024)

/* Lists end with NULL; a NULL list is empty. All required members, nothing but those and the
 * optional ones. */
bool jose_shape_is(const json_t *object, const char *const *required, const char *const *optional);
/* Base64url JSON text -> object: jose.shape. */
int jose_shape_decode(
	const char *text, size_t len, size_t max, json_t **ret_object, struct err *err);
/* The decoded protected header of a flattened JWS or JWE. */
int jose_shape_header(const json_t *envelope, json_t **ret_header, struct err *err);
/* Members of both lists, every one a text, and each of at most `max` bytes. */
int jose_shape_texts(const json_t *object, const char *const *names, size_t max, struct err *err);

#endif
