/* SPDX-License-Identifier: Apache-2.0 */
/* The rule of names.h. */
#include "services/certreg/names.h"

#include <string.h>

#include "proto/rule.h"

/* C0, DEL, and C1 (which UTF-8 writes as C2 80 to C2 9F). */
static int is_control(const unsigned char *at)
{
	return at[0] < ' ' || at[0] == 0x7f || (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0);
}

int name_check(const char *name, struct err *err)
{
	for (const unsigned char *at = (const unsigned char *)name; *at; at++) {
		if (is_control(at))
			return err_set(err, ERR_INVALID, "name.invalid",
				"a name has no control characters");
	}
	return *name ? 0 : err_set(err, ERR_INVALID, "name.invalid", "a name is not empty");
}

int label_check(const char *label, struct err *err)
{
	if (rule_is_label(label))
		return 0;
	return err_set(err, ERR_INVALID, "name.not_a_label",
		"a name here is up to 63 of a-z, 0-9 and -, and does not start with -");
}
