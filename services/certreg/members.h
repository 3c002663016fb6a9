/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a tenant: people, who come by invitation, and service accounts, which are just made.
 */
#ifndef CERTREG_MEMBERS_H
#define CERTREG_MEMBERS_H

#include <stdbool.h>

#include "lib/web.h"

struct member;

#define MEMBERS_ROUTE "POST /v1/members"

int member_create(struct web_req *req, struct web_res *res, struct err *err); /* service account */
int member_list(struct web_req *req, struct web_res *res, struct err *err);
int member_self(struct web_req *req, struct web_res *res, struct err *err);
int member_show(struct web_req *req, struct web_res *res, struct err *err);
int member_update(struct web_req *req, struct web_res *res, struct err *err);
int member_remove(struct web_req *req, struct web_res *res, struct err *err);

json_t *member_json(const struct member *member);
/* Whether the caller may act for this member: on oneself always, on others as owner or admin, on an
 * owner as owner. */
bool member_may_act_for(
	const struct principal *who, const char *member_id, const char *member_roles);

#endif
