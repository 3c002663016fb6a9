/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Roles of members, kept as one text joined by spaces. The instance has one tenant of its own,
 * SYSTEM_TENANT: its operators manage tenants and belong to none; nobody else can be an operator.
 */
#ifndef CERTREG_ROLES_H
#define CERTREG_ROLES_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"

#define SYSTEM_TENANT "system"

struct principal;

/* Whether a text of words, joined by spaces, has this one. */
bool roles_have(const char *roles, const char *role);
json_t *roles_json(const char *roles);
/* From a list: each known, for members of this tenant, not empty; in the order of the table.
 * role.unknown, role.none. */
int roles_read(struct arena *arena, const json_t *list, const char *tenant_name,
	const char **ret_roles, struct err *err);

/* Whether the caller manages its tenant's members: owner, admin, or operator of the instance. */
bool roles_manage(const struct principal *who);
/* Whether the caller may give or take these roles: an owner's are for owners. */
bool roles_may_give(const struct principal *who, const char *roles);

#endif
