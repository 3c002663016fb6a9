/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop over state.h's table: launches what is admitted, watches what boots and what is ready,
 * ends what stops or goes or has expired. After a crash of this service it finds each VM by its
 * sandbox's id and goes on.
 */
#ifndef PROVISIONER_LIFECYCLE_H
#define PROVISIONER_LIFECYCLE_H

#include "lib/service.h"

int lifecycle_run(struct worker *worker, struct err *err);

#endif
