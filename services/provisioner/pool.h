/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: sandboxes that are started, and whose TPM has proved itself, before anybody wants them.
 * `pool = "<template>=<how many> …"` says of which templates; each with its default parameters,
 * but none of the driver tofu.
 * They are nobody's: rows of `warm`, and no claim, so no machine keys. Whoever creates a sandbox
 * that one fits gets that one at once; its agent, which waits for a claim, then makes the keys.
 * They take their room on the host, no tenant's quota, and give way to who waits for it.
 *
 *   creating  its agent has asked for a claim (and opened its credential) -> warm
 *   creating, warm  its VM ended, or did not come up -> failed, for a minute
 *   warm  taken -> somebody's `creating`
 *   any  not wanted any more -> deleting -> gone
 */
#ifndef PROVISIONER_POOL_H
#define PROVISIONER_POOL_H

#include "lib/service.h"

/* pool.bad_size unless it is a list as above. */
int pool_check(const char *pool, struct err *err);
/* The loop. */
int pool_run(struct worker *worker, struct err *err);

#endif
