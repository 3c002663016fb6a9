/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines: a name and a template bound to a policy, with versions. */
#ifndef POLICY_PIPELINES_H
#define POLICY_PIPELINES_H

#include "lib/web.h"

web_handler pipeline_create;
web_handler pipeline_list;
web_handler pipeline_update;
web_handler pipeline_delete;
web_handler pipeline_internal; /* for the orchestrator */

#endif
