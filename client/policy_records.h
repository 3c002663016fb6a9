/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy takes from records of the server: the application that its plan names, and the
 * scoped policies that apply. */
#ifndef STRONGROOM_CLIENT_POLICY_RECORDS_H
#define STRONGROOM_CLIENT_POLICY_RECORDS_H

#include "client/task.h"

/* `app` of the document, from the fields app and app_config. plan.field_value, client.not_found */
int policy_add_app(const struct task *task, json_t *document, struct err *err)
	__attribute__((warn_unused_result));
/* `constraints`: those of our tenant, of the document's datasets and of the plan's workflow, each
 * by the hash of the text as it is here. */
int policy_add_constraints(const struct task *task, json_t *document, struct err *err)
	__attribute__((warn_unused_result));

#endif
