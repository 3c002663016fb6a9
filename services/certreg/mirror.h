/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The readable tree of certificates: <mirror_dir>/<tenant>/<member>/<spki hex>.pem and .json.
 * Postgres is the truth; the tree is written after each commit, and brought up to date at start and
 * at a slow beat, which also takes away what does not belong there (half-written files of a killed
 * process among it).
 */
#ifndef CERTREG_MIRROR_H
#define CERTREG_MIRROR_H

#include "lib/err.h"
#include "services/certreg/certreg.h"

struct certificate;

/* Best effort: a failure is logged and made good at the next beat. */
void mirror_add(const struct certreg *certreg, const struct certificate *certificate);
int mirror_reconcile(struct worker *worker, struct err *err);

#endif
