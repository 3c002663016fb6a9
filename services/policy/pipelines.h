/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines: a name and a template bound to a policy, with versions. */
#ifndef POLICY_PIPELINES_H
#define POLICY_PIPELINES_H

#include "services/policy/record.h"

extern const struct record_kind pipeline_kind;
web_handler pipeline_internal; /* for the orchestrator */

#endif
