/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom-certreg --config FILE --bootstrap DIR: the first tenants and members, and their API
 * keys as DIR/<tenant>-<member>.key (0600, one line). Repeating it is harmless: what exists stays,
 * a key file that has no row gets it, so that a kill in between leaves nothing half done.
 */
#ifndef CERTREG_BOOTSTRAP_H
#define CERTREG_BOOTSTRAP_H

#include "lib/err.h"

struct worker;

/* Takes "--bootstrap DIR" out of the arguments; returns how many are left. */
int bootstrap_take(int argc, char **argv);
/* For init(): 0 when no bootstrap was asked for; otherwise it returns only when it failed. */
int bootstrap_when_asked(struct worker *worker, struct err *err);

#endif
