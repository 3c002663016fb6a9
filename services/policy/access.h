/* SPDX-License-Identifier: Apache-2.0 */
/* Which roles may change what: the one table of this service's role rules. */
#ifndef POLICY_ACCESS_H
#define POLICY_ACCESS_H

#include "lib/web.h"

enum access_kind {
	ACCESS_POLICY, /* policies, approvals, pipelines, orders: owner, admin, algorithm-owner,
			  data-owner */
	ACCESS_DATA,   /* datasets and projections: owner, admin, data-owner */
};

/* auth.role_missing (403) names the roles that would do. */
int access_change(const struct web_req *req, enum access_kind kind, struct err *err);

#endif
