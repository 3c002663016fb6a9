/* SPDX-License-Identifier: Apache-2.0 */
/* Names that people give to keys and certificates: any UTF-8 but control characters, which would
 * reach terminals. */
#ifndef CERTREG_NAMES_H
#define CERTREG_NAMES_H

#include "lib/err.h"

int name_check(const char *name, struct err *err); /* name.invalid */

#endif
