/* SPDX-License-Identifier: Apache-2.0 */
/* What a principal may do, by the words in its token. */
#include <string.h>

#include "lib/auth.h"
#include "lib/id.h"

static bool has_part(const char *words, const char *word, size_t len)
{
	while (words && *words) {
		size_t word_len = strcspn(words, " ");

		if (len > 0 && word_len == len && memcmp(words, word, len) == 0)
			return true;
		words += word_len;
		words += strspn(words, " ");
	}
	return false;
}

static bool has_word(const char *words, const char *word)
{
	return has_part(words, word, strlen(word));
}

bool principal_has_role(const struct principal *principal, const char *role)
{
	return principal && has_word(principal->roles, role);
}

int principal_need_role(const struct principal *principal, const char *roles, struct err *err)
{
	for (const char *role = roles; *role; role += strspn(role, " ")) {
		size_t len = strcspn(role, " ");

		if (has_part(principal->roles, role, len))
			return 0;
		role += len;
	}
	return err_set(
		err, ERR_FORBIDDEN, "auth.role_missing", "this needs one of the roles: %s", roles);
}

/* Ids are all of one length. */
bool principal_in_space(const struct principal *principal, const char *space)
{
	return id_is(space, "spc") &&
	       (strcmp(principal->space, space) == 0 || strstr(principal->spaces, space) != NULL);
}

bool principal_has_scope(const struct principal *principal, const char *scope)
{
	return principal && has_word(principal->scope, scope);
}

bool principal_may_call(const struct principal *principal, const char *scope)
{
	if (!scope)
		return true;
	return principal->kind == WEB_SERVICE ? has_word(scope, principal->subject)
					      : principal_has_scope(principal, scope);
}
