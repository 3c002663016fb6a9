/* SPDX-License-Identifier: Apache-2.0 */
/* What the orchestrator asks policy and provisioner. Everything asked for must be of the given
 * tenant. */
#ifndef ORCHESTRATOR_PEERS_H
#define ORCHESTRATOR_PEERS_H

#include <jansson.h>

#include "lib/service.h"

/* ERR_NOT_FOUND pipeline.not_found / order.not_found / sandbox.not_found for another tenant's too.
 */
int peers_pipeline(struct worker *worker, const char *tenant, const char *id, json_t **ret_pipeline,
	struct err *err);
int peers_order(struct worker *worker, const char *tenant, const char *id, json_t **ret_order,
	struct err *err);
/* Marks the order as started; the answer says whether it is, or what stands against it. */
int peers_order_start(struct worker *worker, const char *tenant, const char *id, json_t **ret_order,
	struct err *err);
int peers_sandbox(struct worker *worker, const char *tenant, const char *id, json_t **ret_sandbox,
	struct err *err);

#endif
