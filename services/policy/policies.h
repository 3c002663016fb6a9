/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: immutable documents by hash, and the approvals that stand beside them. */
#ifndef POLICY_POLICIES_H
#define POLICY_POLICIES_H

#include "lib/web.h"

web_handler policy_create;
web_handler policy_list;
web_handler policy_approve;
/* The caller is in it. policy.wrong_space */
int policy_check_space(const struct web_req *req, const char *space, struct err *err);

#endif
