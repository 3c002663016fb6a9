/* SPDX-License-Identifier: Apache-2.0 */
/* The loop that takes the services' records over into the log. */
#ifndef CERTREG_AUDIT_APPEND_H
#define CERTREG_AUDIT_APPEND_H

#include "lib/err.h"

struct worker;

/* The first head, of an empty log; else whether the newest one is ours and fits the hashes:
 * audit.damaged, log.wrong_signature. */
int audit_append_start(struct worker *worker, struct err *err);
/* Fetches what the services have and appends it as one batch with one head. The same
 * errors: nothing is signed on top of damage. */
int audit_append(struct worker *worker, struct err *err);
#define AUDIT_APPEND_BEAT_MS 1000

#endif
