/* SPDX-License-Identifier: Apache-2.0 */
/* URLs that somebody else wrote: what is taken has one meaning, and libcurl finds the same host and
 * port in it. */
#include <curl/curl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/mem.h"
#include "lib/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

/* The part as libcurl reads it is `expected`, but for its case and brackets. */
static void compare(CURLU *url, CURLUPart part, unsigned flags, const char *expected)
{
	char *text = NULL;

	check(curl_url_get(url, part, &text, flags) == CURLUE_OK);
	if (text[0] == '[')
		check(strncasecmp(text + 1, expected, strlen(expected)) == 0);
	else
		check(strcasecmp(text, expected) == 0);
	curl_free(text);
}

static void against_curl(const char *text, const struct url *found)
{
	CURLU *url = curl_url();

	check(curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS) == CURLUE_OK);
	compare(url, CURLUPART_SCHEME, 0, found->scheme);
	compare(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, found->port);
	if (!found->is_address) /* those are never asked: libcurl writes them in its own way */
		compare(url, CURLUPART_HOST, 0, found->host);
	curl_url_cleanup(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = mem_strndup((const char *)data, size);
	struct url url;

	if (url_parse(text, &url, NULL) < 0)
		return 0;
	check(strlen(url.host) > 0 && strlen(text) <= URL_MAX_LEN);
	check(!strpbrk(text, "#\\ \"<>\r\n\t") && (!strchr(text, '@') || strchr(url.path, '@')));
	check(!strpbrk(url.host, "%/?@") && url.path[0] == '/');
	if (strcmp(url.scheme, "s3") != 0)
		against_curl(text, &url);
	return 0;
}
