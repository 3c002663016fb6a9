/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nobody names goes: blobs that no manifest has named for the grace period lose their rows,
 * and what the registry has without a row is deleted there. The registry keeps bytes by repository
 * and only unlinks them; its own `garbage-collect` frees the disk.
 */
#ifndef REGISTRY_GW_COLLECT_H
#define REGISTRY_GW_COLLECT_H

#include "lib/err.h"

struct worker;

int collect_beat(struct worker *worker, struct err *err); /* a service loop */

#endif
