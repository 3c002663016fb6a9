/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tenant, a member and the host may have at once, and whose turn it is. A sandbox takes its
 * virtual processors, memory and weight (its template's) from admission to its VM's end; until
 * there is room it is `queued`. Within a member's the oldest comes first; between tenants the one
 * with the least weight in hand, so that a noisy one waits for its own.
 */
#ifndef PROVISIONER_QUOTA_H
#define PROVISIONER_QUOTA_H

#include <jansson.h>

#include "lib/service.h"
#include "services/provisioner/store.h"

/* The loop of admission. */
int quota_admit(struct worker *worker, struct err *err);

/* Refuses what no wait would ever give: quota.too_large, quota.lifetime. Gives a sandbox without an
 * end the longest one that the quota allows. */
int quota_check(struct web_req *req, struct sandbox *sandbox, struct err *err);

/* One of the pool that fits becomes the caller's, if there is one and his quotas have room: its id,
 * else NULL. */
int quota_take(
	struct web_req *req, const struct sandbox *sandbox, const char **ret_id, struct err *err);

/* {"position":…,"reason":…} of a sandbox that is queued. */
int quota_queue(
	struct web_req *req, const struct sandbox *sandbox, json_t **ret_queue, struct err *err);

web_handler quota_own; /* the caller's tenant: limits and what is used of them */
web_handler quota_show;
web_handler quota_put; /* operators: any tenant's */

#endif
