/* SPDX-License-Identifier: Apache-2.0 */
/* The head of the instance's audit log, for the receipt. */
#ifndef STRONGROOM_AGENT_LOG_HEAD_H
#define STRONGROOM_AGENT_LOG_HEAD_H

#include <jansson.h>

#include "agent/edge.h"

/* {"size","root"}, or NULL from an instance without a log. Nobody here knows the log's key: what is
 * signed is what was seen, and who reads the receipt holds it against his own checkpoint. */
int log_head_fetch(struct edge *edge, json_t **ret_head, struct err *err);

#endif
