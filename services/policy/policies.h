/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: immutable documents by hash, and the approvals that stand beside them. */
#ifndef POLICY_POLICIES_H
#define POLICY_POLICIES_H

#include "lib/web.h"

web_handler policy_create;
web_handler policy_list;
web_handler policy_delete;
web_handler policy_approve;

#endif
