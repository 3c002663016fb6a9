/* SPDX-License-Identifier: Apache-2.0 */
/* The rule of name.h. */
#include "services/policy/name.h"

#include <string.h>

#define NAME_MAX_LEN 63

int name_check(const char *name, const char *pointer, struct err *err)
{
	size_t len = strlen(name);

	if (len >= 1 && len <= NAME_MAX_LEN && name[0] != '-' &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len)
		return 0;
	err_set(err, ERR_INVALID, "json.invalid_fields", "%s is not a name", pointer);
	return err_field(err, pointer, "pattern", "must match [a-z0-9][a-z0-9-]{0,62}");
}
