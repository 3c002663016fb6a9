/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of url.h. */
#include "lib/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

#define LABEL_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-"
#define PATH_CHARS                                                                                 \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"                           \
	"-._~!$&'()*+,;=:@/%?"

static const struct {
	const char *name, *port;
} schemes[] = { { "https", "443" }, { "http", "80" }, { "s3", "" } };

static int malformed(struct err *err, const char *why)
{
	return err_set(err, ERR_INVALID, "url.malformed", "%s", why);
}

static bool take_scheme(const char **at, struct url *url)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t len = strlen(schemes[i].name);

		if (strncmp(*at, schemes[i].name, len) != 0 || strncmp(*at + len, "://", 3) != 0)
			continue;
		memcpy(url->scheme, schemes[i].name, len + 1);
		snprintf(url->port, sizeof(url->port), "%s", schemes[i].port);
		*at += len + 3;
		return true;
	}
	return false;
}

/* A name's last label is never a number, so that no reader takes it for an address. */
static bool is_number(const char *label)
{
	return strspn(label, "0123456789") == strlen(label) ||
	       (label[0] == '0' && label[1] == 'x' &&
		       strspn(label + 2, "0123456789abcdef") == strlen(label + 2));
}

static bool check_name(struct url *url)
{
	char *label = url->host;

	for (;;) {
		size_t len = strspn(label, LABEL_CHARS);

		if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
			return false;
		if (label[len] == '\0') {
			url->is_address = is_number(label);
			return true;
		}
		if (label[len] != '.')
			return false;
		label += len + 1;
	}
}

static bool take_host(const char **at, struct url *url)
{
	struct in6_addr ignored;
	bool bracket = **at == '[';
	const char *begin = *at + bracket;
	size_t len = strcspn(begin, bracket ? "]" : ":/?");

	if (len == 0 || len >= sizeof(url->host) || (bracket && begin[len] != ']'))
		return false;
	for (size_t i = 0; i < len; i++)
		url->host[i] = (char)tolower((unsigned char)begin[i]);
	*at = begin + len + bracket;
	url->is_address = bracket;
	return bracket ? inet_pton(AF_INET6, url->host, &ignored) == 1 : check_name(url);
}

static bool take_port(const char **at, struct url *url)
{
	size_t len;
	long port;

	if (**at != ':')
		return true;
	len = strspn(++*at, "0123456789");
	port = len > 0 && len < 6 ? strtol(*at, NULL, 10) : 0;
	if (port < 1 || port > 65535 || **at == '0' || !*url->port)
		return false;
	snprintf(url->port, sizeof(url->port), "%ld", port);
	*at += len;
	return true;
}

static bool check_path(const char *path)
{
	for (const char *at = path; (at = strchr(at, '%')); at++) {
		if (!isxdigit((unsigned char)at[1]) || !isxdigit((unsigned char)at[2]))
			return false;
	}
	return strspn(path, PATH_CHARS) == strlen(path);
}

int url_parse(const char *text, struct url *ret_url, struct err *err)
{
	struct url url = { 0 };
	const char *at = text, *query;

	if (strlen(text) > URL_MAX_LEN)
		return malformed(err, "the URL is too long");
	if (!take_scheme(&at, &url))
		return malformed(err, "the URL does not begin with https://, http:// or s3://");
	if (!take_host(&at, &url))
		return malformed(err, "the URL has no host, or one that is not plain");
	if (!take_port(&at, &url))
		return malformed(err, "the URL's port is none");
	if (*at && *at != '/')
		return malformed(err, "there is something behind the URL's host");
	if (!check_path(at))
		return malformed(err, "the URL's path has characters that must be written as %XX");
	query = strchr(at, '?');
	url.path = *at == '/' ? at : "/";
	url.query = query ? query + 1 : NULL;
	*ret_url = url;
	return 0;
}
