/* SPDX-License-Identifier: Apache-2.0 */
/* The `help` of problem answers: what to do about a code, out of proto/errors. */
#include <string.h>

#include "lib/error_help.h"
#include "lib/mem.h"
#include "lib/service_inner.h"

const char *service_help(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(error_help); i++) {
		if (strcmp(error_help[i].code, code) == 0)
			return error_help[i].help;
	}
	return NULL;
}
