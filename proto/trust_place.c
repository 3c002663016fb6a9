/* SPDX-License-Identifier: Apache-2.0 */
/* Where data lies outside: URLs without a query, and endpoints of the network. */
#include <stdlib.h>
#include <string.h>

#include "lib/url.h"
#include "proto/trust_shape.h"

/* Digits to 65535, without a leading zero; `end` is what follows them. */
static bool is_port(const char *text, const char *end)
{
	size_t len = strspn(text, "0123456789");

	return len > 0 && len <= 5 && text[0] != '0' && text + len == end &&
	       strtol(text, NULL, 10) <= 65535;
}

/* Labels of letters, digits and hyphens, in lower case, between single dots. */
static bool is_host(const char *text, size_t len)
{
	if (len == 0 || len > 253 || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-") < len ||
		text[0] == '.' || text[0] == '-' || text[len - 1] == '.')
		return false;
	for (size_t i = 1; i < len; i++)
		if (text[i - 1] == '.' && (text[i] == '.' || text[i] == '-'))
			return false;
	return true;
}

bool shape_is_endpoint(const char *text)
{
	const char *colon = strchr(text, ':');

	return colon && is_host(text, (size_t)(colon - text)) &&
	       is_port(colon + 1, text + strlen(text));
}

/* Whether one part of a path would be resolved away. */
static bool has_dots(const char *path)
{
	for (const char *part = path; (part = strchr(part, '/')); part++) {
		size_t len = strcspn(part + 1, "/");

		if ((len == 1 && part[1] == '.') || (len == 2 && part[1] == '.' && part[2] == '.'))
			return true;
	}
	return false;
}

/* https://host[:port]/path: no user, no query (that is the credentials'), no fragment; the host in
 * its one spelling. */
bool shape_is_url(const char *text)
{
	static const char scheme[] = "https://";
	const char *host = text + sizeof(scheme) - 1;
	struct url url;

	return strncmp(text, scheme, sizeof(scheme) - 1) == 0 && url_parse(text, &url, NULL) == 0 &&
	       !url.query && strchr(host, '/') && !has_dots(strchr(host, '/')) &&
	       strncmp(host, url.host, strlen(url.host)) == 0;
}
