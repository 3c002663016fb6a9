/* SPDX-License-Identifier: Apache-2.0 */
/* The role rules of access.h. */
#include "services/policy/access.h"

#include "lib/auth.h"

static const char *const policy_roles[] = { "owner", "admin", "algorithm-owner", "data-owner",
	NULL };
static const char *const data_roles[] = { "owner", "admin", "data-owner", NULL };

int access_change(const struct web_req *req, enum access_kind kind, struct err *err)
{
	const char *const *roles = kind == ACCESS_DATA ? data_roles : policy_roles;

	for (size_t i = 0; roles[i]; i++) {
		if (principal_has_role(req->principal, roles[i]))
			return 0;
	}
	return err_set(err, ERR_FORBIDDEN, "auth.role_missing",
		"this needs one of the roles owner, admin%s, data-owner",
		kind == ACCESS_POLICY ? ", algorithm-owner" : "");
}
