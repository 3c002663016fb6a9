/* SPDX-License-Identifier: Apache-2.0 */
/* What a principal may do, by the words in its token. */
#include <string.h>

#include "lib/auth.h"

static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	while (words && *words) {
		size_t word_len = strcspn(words, " ");

		if (len > 0 && word_len == len && memcmp(words, word, len) == 0)
			return true;
		words += word_len;
		words += strspn(words, " ");
	}
	return false;
}

bool principal_has_role(const struct principal *principal, const char *role)
{
	return principal && has_word(principal->roles, role);
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
