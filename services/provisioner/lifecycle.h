/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a sandbox, as a table of states:
 *   creating, starting   VM launched once per boot; enrolled -> ready (enrolments.c); died or
 * silent for 120 s -> failed ready                watched; died by itself -> stopped with
 * sandbox.died stopping -> stopped, deleting -> deleted: the VM is ended and what belongs to it
 * removed and the reconciler: whatever exists below sandboxes_dir without a living row is ended and
 * removed.
 */
#ifndef PROVISIONER_LIFECYCLE_H
#define PROVISIONER_LIFECYCLE_H

#include "lib/service.h"

int lifecycle_run(struct worker *worker, struct err *err);
int lifecycle_reconcile(struct worker *worker, struct err *err);

#endif
