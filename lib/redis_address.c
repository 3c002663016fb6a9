/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the addresses of redis_address.h. */
#include "lib/redis_address.h"

#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

#define REDIS_PORT "6379"
#define SENTINEL_PORT "26379"
#define DIGITS "0123456789"

/* Takes ":port" off the end of `host`; a host in brackets loses them. NULL: the port is bad. */
static const char *split_port(char **host, const char *fallback)
{
	char *colon, *end;

	if (**host == '[') {
		end = strchr(*host, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return NULL;
		colon = end[1] == ':' ? end + 1 : NULL;
		*end = '\0';
		++*host;
	} else {
		colon = strchr(*host, ':');
	}
	if (!colon)
		return fallback;
	*colon++ = '\0';
	if (strspn(colon, DIGITS) != strlen(colon) || strlen(colon) > 5 ||
		strtol(colon, NULL, 10) < 1 || strtol(colon, NULL, 10) > 65535)
		return NULL;
	return colon;
}

static bool parse_host(
	const char *text, size_t len, const char *fallback, struct redis_host *ret_host)
{
	auto_free char *copy = mem_strndup(text, len);
	char *name = copy;
	const char *port = split_port(&name, fallback);

	if (!port || !*name || strpbrk(name, "/@?# "))
		return false;
	ret_host->name = mem_strdup(name);
	memcpy(ret_host->port, port, strlen(port) + 1);
	return true;
}

static bool parse_hosts(const char *text, const char *fallback, struct redis_address *ret_address)
{
	while (ret_address->n_hosts < REDIS_MAX_HOSTS) {
		size_t len = strcspn(text, ",");

		if (!parse_host(text, len, fallback, &ret_address->hosts[ret_address->n_hosts]))
			return false;
		ret_address->n_hosts++;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
	return false;
}

static bool parse_sentinels(const char *text, struct redis_address *ret_address)
{
	const char *at = strchr(text, '@');

	if (!at || at == text)
		return false;
	ret_address->master = mem_strndup(text, (size_t)(at - text));
	return parse_hosts(at + 1, SENTINEL_PORT, ret_address);
}

static const char *behind(const char *text, const char *scheme)
{
	size_t len = strlen(scheme);

	return strncmp(text, scheme, len) == 0 ? text + len : NULL;
}

static bool parse(const char *text, struct redis_address *ret_address)
{
	const char *rest = behind(text, "unix:");

	if (rest) {
		ret_address->path = mem_strdup(rest);
		return *rest == '/';
	}
	ret_address->tls = behind(text, "rediss:") || behind(text, "sentinels:");
	rest = behind(text, "redis://");
	if (!rest)
		rest = behind(text, "rediss://");
	if (rest)
		return parse_hosts(rest, REDIS_PORT, ret_address) && ret_address->n_hosts == 1;
	rest = behind(text, "sentinel://");
	if (!rest)
		rest = behind(text, "sentinels://");
	return rest && parse_sentinels(rest, ret_address);
}

int redis_address_parse(const char *text, struct redis_address *ret_address, struct err *err)
{
	*ret_address = (struct redis_address) { .path = NULL };
	if (parse(text, ret_address))
		return 0;
	return err_set(err, ERR_INVALID, "redis.bad_address",
		"'%s' is none of unix:/path, redis[s]://host:port, "
		"sentinel[s]://master@host:port,…",
		text);
}

void redis_address_release(struct redis_address *address)
{
	free(take_ptr(address->path));
	free(take_ptr(address->master));
	for (size_t i = 0; i < address->n_hosts; i++)
		free(take_ptr(address->hosts[i].name));
	address->n_hosts = 0;
}
