/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks: what owners and admins of a tenant decide about its applications. */
#ifndef POLICY_TASKS_H
#define POLICY_TASKS_H

#include "services/policy/record.h"

extern const struct record_kind task_kind;
web_handler task_approve;
web_handler task_deny;

/* In the transaction that made or changed an application: tasks for what is new in it. What was
 * approved for it before needs none, what it does not ask for any more is not waited for. */
int task_open_for_app(
	struct db *db, struct web_req *req, const struct record *app, struct err *err);

#endif
