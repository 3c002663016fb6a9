/* SPDX-License-Identifier: Apache-2.0 */
/* The claim `spaces`: where a member's tenant works, its own space first. Most tenants share none.
 * A token lives as long as its tenant is in all of them: the issuer revokes "<space>/<tenant>". */
#include <stdio.h>
#include <string.h>

#include "lib/auth_inner.h"
#include "lib/id.h"
#include "lib/json.h"

#define MAX_SPACES 64u

int auth_spaces_check(const json_t *claims, struct err *err)
{
	const json_t *list = json_object_get(claims, "spaces");
	bool good = !list || (json_is_array(list) && json_array_size(list) <= MAX_SPACES);

	for (size_t i = 0; good && i < json_array_size(list); i++)
		good = id_is(json_string_value(json_array_get(list, i)), "spc");
	if (!good)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.invalid_token",
			"the token's spaces are none");
	return 0;
}

const char *auth_spaces_shared(const json_t *claims, struct arena *arena)
{
	const json_t *list = json_object_get(claims, "spaces");
	const char *joined = "";

	for (size_t i = 1; i < json_array_size(list); i++)
		joined = arena_printf(arena, "%s%s%s", joined, *joined ? "," : "",
			json_string_value(json_array_get(list, i)));
	return joined;
}

bool auth_spaces_left(const struct auth_state *state, const json_t *claims, long long iat)
{
	const json_t *list = json_object_get(claims, "spaces");
	const char *tenant = json_text(claims, "tenant");
	char subject[2 * ID_SIZE];
	bool left = false;

	for (size_t i = 1; !left && i < json_array_size(list); i++) {
		snprintf(subject, sizeof(subject), "%s/%s",
			json_string_value(json_array_get(list, i)), tenant);
		left = auth_state_is_revoked(state, subject, iat);
	}
	return left;
}
