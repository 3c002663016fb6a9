/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_named.h: each step is checked, resolved and pinned, then asked by a handle of its own. */
#include "lib/fetch_named.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/fetch.h"
#include "lib/id.h"
#include "lib/mem.h"
#include "lib/url.h"

#define MAX_REDIRECTS 3

/* Not global unicast: RFC 6890 and what came after it. */
static const char NOT_GLOBAL[] =
	"0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,192.0.0.0/24,"
	"192.0.2.0/24,192.31.196.0/24,192.52.193.0/24,192.88.99.0/24,192.168.0.0/16,"
	"192.175.48.0/24,198.18.0.0/15,198.51.100.0/24,203.0.113.0/24,224.0.0.0/3,"
	"64:ff9b::/96,64:ff9b:1::/48,2001::/23,2001:db8::/32,2002::/16,2620:4f:8000::/48,"
	"3fff::/20,5f00::/16";
/* Of IPv6, all that is handed out lies here. */
static const char GLOBAL_IPV6[] = "2000::/3";

/* --- addresses --- */

struct bits {
	int family;
	unsigned char at[16];
};

/* An address in one form only: IPv4 in IPv6 is IPv4. */
static bool bits_of(const struct sockaddr *address, struct bits *ret_bits)
{
	const struct sockaddr_in6 *six = (const void *)address;

	ret_bits->family = address->sa_family;
	if (address->sa_family == AF_INET) {
		memcpy(ret_bits->at, &((const struct sockaddr_in *)(const void *)address)->sin_addr,
			4);
		return true;
	}
	if (address->sa_family != AF_INET6)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) || IN6_IS_ADDR_V4COMPAT(&six->sin6_addr)) {
		ret_bits->family = AF_INET;
		memcpy(ret_bits->at, six->sin6_addr.s6_addr + 12, 4);
	} else {
		memcpy(ret_bits->at, six->sin6_addr.s6_addr, 16);
	}
	return true;
}

/* "10.0.0.0/8" */
static bool read_prefix(const char *text, size_t len, struct bits *ret_net, unsigned *ret_bits)
{
	char copy[64], *slash, *end;
	unsigned long bits;

	if (len == 0 || len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	slash = strchr(copy, '/');
	if (!slash)
		return false;
	*slash = '\0';
	ret_net->family = strchr(copy, ':') ? AF_INET6 : AF_INET;
	bits = strtoul(slash + 1, &end, 10);
	*ret_bits = (unsigned)bits;
	return slash[1] && !*end && bits <= (ret_net->family == AF_INET6 ? 128 : 32) &&
	       inet_pton(ret_net->family, copy, ret_net->at) == 1;
}

static bool is_in(const struct bits *address, const struct bits *net, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	unsigned char mask = (unsigned char)(0xff00 >> rest);

	if (address->family != net->family || memcmp(address->at, net->at, whole) != 0)
		return false;
	return rest == 0 || ((address->at[whole] ^ net->at[whole]) & mask) == 0;
}

static bool is_listed(const struct bits *address, const char *prefixes)
{
	while (prefixes && *prefixes) {
		size_t len = strcspn(prefixes, ",");
		struct bits net;
		unsigned bits;

		if (read_prefix(prefixes, len, &net, &bits) && is_in(address, &net, bits))
			return true;
		prefixes += len + (prefixes[len] == ',');
	}
	return false;
}

static bool is_global(const struct bits *bits)
{
	return !is_listed(bits, NOT_GLOBAL) &&
	       (bits->family == AF_INET || is_listed(bits, GLOBAL_IPV6));
}

/* --- ports --- */

/* "443" or "8000-8999", and where it ends. */
static bool read_ports(const char *text, const char **ret_end, long *ret_first, long *ret_last)
{
	char *end;

	*ret_first = *ret_last = strtol(text, &end, 10);
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		*ret_last = strtol(end + 1, &end, 10);
	*ret_end = end;
	return *text >= '0' && *text <= '9' && (*end == ',' || !*end) && *ret_first >= 1 &&
	       *ret_first <= *ret_last && *ret_last <= 65535;
}

static bool port_is_listed(const char *ports, long port)
{
	long first, last;

	while (ports && *ports && read_ports(ports, &ports, &first, &last)) {
		if (port >= first && port <= last)
			return true;
		ports += *ports == ',';
	}
	return false;
}

int fetch_named_check_ports(const char *ports, struct err *err)
{
	long first, last;

	while (ports && *ports) {
		const char *text = ports;

		if (!read_ports(text, &ports, &first, &last) || (*ports == ',' && !ports[1]))
			return err_set(err, ERR_INVALID, "fetch.bad_port",
				"'%s' is no list of ports such as 443,8000-8999", text);
		ports += *ports == ',';
	}
	return 0;
}

static long port_of(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
	return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
}

bool fetch_named_allows(const struct fetch_named_conf *conf, const struct sockaddr *address)
{
	struct bits bits;

	return bits_of(address, &bits) &&
	       (is_global(&bits) || (is_listed(&bits, conf->prefixes) &&
					    port_is_listed(conf->ports, port_of(address))));
}

int fetch_named_check_prefixes(const char *prefixes, struct err *err)
{
	while (prefixes && *prefixes) {
		size_t len = strcspn(prefixes, ",");
		struct bits net;
		unsigned bits;

		if (!read_prefix(prefixes, len, &net, &bits))
			return err_set(err, ERR_INVALID, "fetch.bad_prefix",
				"'%.*s' is no prefix such as 10.0.0.0/8", (int)len, prefixes);
		prefixes += len + (prefixes[len] == ',');
	}
	return 0;
}

/* --- one step --- */

static int refused(struct err *err, const char *why)
{
	return err_set(err, ERR_UNPROCESSABLE, "url.refused", "%s", why);
}

static int check_url(
	const struct fetch_named_conf *conf, const char *text, struct url *url, struct err *err)
{
	if (url_parse(text, url, err) < 0)
		return -1;
	if (strcmp(url->scheme, "https") != 0)
		return refused(err, "only https is asked");
	if (url->is_address)
		return refused(err, "the host must be a name");
	if (!port_is_listed(conf->ports, strtol(url->port, NULL, 10)))
		return refused(err, "that port is not asked");
	return 0;
}

int fetch_named_resolve(const struct fetch_named_conf *conf, const char *host, const char *port,
	struct sockaddr_storage ret_addresses[FETCH_NAMED_ADDRESSES], size_t *ret_count,
	struct err *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	bool good = getaddrinfo(host, port, &hints, &found) == 0;
	size_t count = 0;

	for (struct addrinfo *one = found; good && one && count < FETCH_NAMED_ADDRESSES;
		one = one->ai_next) {
		good = fetch_named_allows(conf, one->ai_addr);
		memcpy(&ret_addresses[count++], one->ai_addr, one->ai_addrlen);
	}
	if (found)
		freeaddrinfo(found);
	if (!good || count == 0)
		return refused(err, "the host is not a public one");
	*ret_count = count;
	return 0;
}

/* "host:port:address,address" for the handle. */
static int resolve(
	const struct fetch_named_conf *conf, const struct url *url, char **ret_pin, struct err *err)
{
	struct sockaddr_storage addresses[FETCH_NAMED_ADDRESSES];
	auto_buf pin = BUF_INIT(8192);
	char text[INET6_ADDRSTRLEN];
	size_t count;

	if (fetch_named_resolve(conf, url->host, url->port, addresses, &count, err) < 0 ||
		buf_printf(&pin, err, "%s:%s:", url->host, url->port) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (getnameinfo((const struct sockaddr *)&addresses[i], sizeof(addresses[i]), text,
			    sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
			return refused(err, "the host is not a public one");
		if (buf_printf(&pin, err, "%s%s", i > 0 ? "," : "", text) < 0)
			return -1;
	}
	*ret_pin = mem_strndup((const char *)pin.data, pin.len);
	return 0;
}

static int failed(struct err *err)
{
	if (strcmp(err->code, "upstream.too_large") == 0)
		return err_set(err, ERR_UNPROCESSABLE, "url.too_large",
			"what lies there is larger than allowed");
	return err_set(err, ERR_UNPROCESSABLE, "url.failed", "the host did not answer properly");
}

static int step(const struct fetch_named_conf *conf, const char *text, long timeout_ms,
	struct fetch_response *ret_res, struct err *err)
{
	const struct fetch_conf handle = { .ca_file = conf->ca_file, .user_agent = "strongroom" };
	auto_free char *pin = NULL;
	struct fetch_request req = { .method = "GET",
		.url = text,
		.timeout_ms = timeout_ms,
		.max_response = conf->max_bytes };
	struct fetch *fetch;
	struct url url;
	int result;

	if (check_url(conf, text, &url, err) < 0 || resolve(conf, &url, &pin, err) < 0)
		return -1;
	req.resolved = pin;
	fetch = fetch_new(&handle);
	result = fetch_do(fetch, &req, ret_res, err);
	fetch_free(fetch);
	return result < 0 ? failed(err) : 0;
}

/* --- all of them --- */

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Absolute, or a path on the same host. */
static char *target_of(const char *url, const struct fetch_response *res)
{
	auto_free char *location = fetch_header(res, "Location");
	const char *host = strstr(url, "://") + 3;

	if (!location)
		return NULL;
	if (location[0] != '/' || location[1] == '/')
		return take_ptr(location);
	return mem_printf("%.*s%s", (int)(host - url + (long)strcspn(host, "/?")), url, location);
}

static int take(struct fetch_response *res, char **ret_data, size_t *ret_len, struct err *err)
{
	if (res->status != 200)
		return err_set(
			err, ERR_UNPROCESSABLE, "url.failed", "the host did not answer properly");
	*ret_len = res->body.len;
	*ret_data = mem_alloc(res->body.len + 1); /* zeros */
	if (res->body.len > 0)
		memcpy(*ret_data, res->body.data, res->body.len);
	return 0;
}

int fetch_named(const struct fetch_named_conf *conf, const char *url, char **ret_data,
	size_t *ret_len, struct err *err)
{
	long long end_ms = clock_monotonic_ms() + conf->timeout_ms;
	auto_free char *at = mem_strdup(url);

	for (int redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
		auto_response res = { 0 };
		long long left_ms = end_ms - clock_monotonic_ms();
		struct url ignored;
		char *next;

		if (left_ms <= 0)
			return err_set(err, ERR_UNPROCESSABLE, "url.failed", "it took too long");
		if (step(conf, at, (long)left_ms, &res, err) < 0)
			return -1;
		if (!is_redirect(res.status))
			return take(&res, ret_data, ret_len, err);
		next = target_of(at, &res);
		if (!next)
			return failed(err);
		if (url_parse(next, &ignored, NULL) < 0) {
			free(next);
			return refused(err, "it leads to something that is no plain URL");
		}
		free(at);
		at = next;
	}
	return refused(err, "there are too many redirects");
}
