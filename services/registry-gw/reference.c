/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of reference.h. The registry behind keeps sha256 only, so nothing else gets in. */
#include "services/registry-gw/reference.h"

#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"

#define TAG_MAX_BYTES 128
#define TAG_FIRST "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

bool reference_is_tag(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= TAG_MAX_BYTES && strchr(TAG_FIRST, text[0]) &&
	       strspn(text, TAG_FIRST ".-") == len;
}

bool reference_is_digest(const char *text)
{
	unsigned char ignored[DIGEST_SIZE];

	return digest_parse(text, ignored, NULL) == 0;
}

int reference_check_digest(const char *text, struct err *err)
{
	if (reference_is_digest(text))
		return 0;
	if (strncmp(text, "sha512:", 7) == 0)
		return err_set(err, ERR_INVALID, "digest.unsupported",
			"sha512 digests are not kept here: use sha256");
	return err_set(err, ERR_INVALID, "digest.invalid",
		"'%.80s' is not 'sha256:' and 64 lower-case hex digits", text);
}

int reference_check(const char *text, struct err *err)
{
	if (reference_is_tag(text))
		return 0;
	if (strchr(text, ':'))
		return reference_check_digest(text, err);
	return err_set(err, ERR_INVALID, "manifest.bad_reference", "'%.80s' is no tag", text);
}

int reference_page_limit(
	const struct web_req *req, long long most, long long *ret_limit, struct err *err)
{
	const char *text = web_query(req, "n");
	long long limit = most;

	if (text && (!*text || strlen(text) > 9 || strspn(text, "0123456789") != strlen(text)))
		return err_set(err, ERR_INVALID, "tags.bad_page", "n must be a number");
	if (text)
		limit = strtoll(text, NULL, 10);
	*ret_limit = limit < most ? limit : most;
	return 0;
}
