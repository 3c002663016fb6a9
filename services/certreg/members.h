/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a tenant and their roles: owner, admin, algorithm-owner, data-owner, auditor,
 * operator. */
#ifndef CERTREG_MEMBERS_H
#define CERTREG_MEMBERS_H

#include <stdbool.h>

#include "lib/web.h"

struct member;

int member_list(struct web_req *req, struct web_res *res, struct err *err);
int member_self(struct web_req *req, struct web_res *res, struct err *err);

json_t *member_json(const struct member *member);
/* Whether a text of roles, joined by spaces, has this one. */
bool roles_have(const char *roles, const char *role);
/* Whether the caller may act for this member: on oneself always, on others as owner or admin, on an
 * owner as owner. */
bool member_may_act_for(
	const struct principal *who, const char *member_id, const char *member_roles);

#endif
