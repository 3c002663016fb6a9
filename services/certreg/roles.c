/* SPDX-License-Identifier: Apache-2.0 */
/* The roles there are, and who may give them. */
#include "services/certreg/roles.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/mem.h"

static const struct role {
	const char *name;
	bool of_system, of_tenants;
} known[] = {
	{ "owner", false, true },
	{ "admin", false, true },
	{ "algorithm-owner", false, true },
	{ "data-owner", false, true },
	{ "auditor", true, true },
	{ "operator", true, false },
};

bool roles_have(const char *roles, const char *role)
{
	size_t len = strlen(role);

	for (const char *at = roles; (at = strstr(at, role)); at += len) {
		bool starts = at == roles || at[-1] == ' ';

		if (starts && (at[len] == '\0' || at[len] == ' '))
			return true;
	}
	return false;
}

json_t *roles_json(const char *roles)
{
	json_t *list = json_array();

	for (const char *at = roles; *at;) {
		size_t len = strcspn(at, " ");

		json_array_append_new(list, json_stringn(at, len));
		at += len + (at[len] == ' ');
	}
	return list;
}

static bool list_has(const json_t *list, const char *role)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		if (json_is_string(item) && strcmp(json_string_value(item), role) == 0)
			return true;
	}
	return false;
}

int roles_read(struct arena *arena, const json_t *list, const char *tenant_name,
	const char **ret_roles, struct err *err)
{
	bool is_system = strcmp(tenant_name, SYSTEM_TENANT) == 0;
	const char *roles = "";
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const struct role *role = &known[i];

		if (!(is_system ? role->of_system : role->of_tenants) ||
			!list_has(list, role->name))
			continue;
		roles = arena_printf(arena, "%s%s%s", roles, *roles ? " " : "", role->name);
		count++;
	}
	if (count != json_array_size(list))
		return err_set(err, ERR_INVALID, "role.unknown", "roles are, each once: %s",
			is_system ? "auditor, operator"
				  : "owner, admin, algorithm-owner, data-owner, auditor");
	if (count == 0)
		return err_set(err, ERR_INVALID, "role.none", "a member needs a role");
	*ret_roles = roles;
	return 0;
}

bool roles_manage(const struct principal *who)
{
	return roles_have(who->roles, "owner") || roles_have(who->roles, "admin") ||
	       roles_have(who->roles, "operator");
}

bool roles_may_give(const struct principal *who, const char *roles)
{
	return roles_manage(who) &&
	       (roles_have(who->roles, "owner") || !roles_have(roles, "owner"));
}
