/* SPDX-License-Identifier: Apache-2.0 */
/* The table is made from proto/errors by tools/errors2c.awk. */
#include "lib/error_text.h"

#include <string.h>

#include "lib/error_help.h"
#include "lib/mem.h"

static size_t find(const char *code)
{
	size_t i = 0;

	while (i < ARRAY_LEN(error_help) && strcmp(error_help[i].code, code) != 0)
		i++;
	return i;
}

const char *error_text_help(const char *code)
{
	size_t i = find(code);

	return i < ARRAY_LEN(error_help) ? error_help[i].help : NULL;
}

const char *error_text_meaning(const char *code)
{
	size_t i = find(code);

	return i < ARRAY_LEN(error_help) ? error_help[i].meaning : NULL;
}

const char *error_text_code(size_t n)
{
	return n < ARRAY_LEN(error_help) ? error_help[n].code : NULL;
}
