/* SPDX-License-Identifier: Apache-2.0 */
/* Names that people give to keys and certificates: any UTF-8 but control characters, which would
 * reach terminals. Tenants, members and spaces have labels, which stand in paths and repositories.
 */
#ifndef CERTREG_NAMES_H
#define CERTREG_NAMES_H

#include "lib/err.h"

#define LABEL_MAX 63

int name_check(const char *name, struct err *err);   /* name.invalid */
int label_check(const char *label, struct err *err); /* [a-z0-9][a-z0-9-]{0,62}: name.not_a_label */

#endif
