/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is counted as whom. Callers with a token by what the token rests on. Without one: the address
 * that the edge saw, and the address together with the id whose secret is tried. So nobody's wrong
 * attempts keep the owner of an id out, who comes from elsewhere. What does not come through the
 * edge is a service's own, and free.
 */
#include <arpa/inet.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/auth_inner.h"
#include "lib/json.h"
#include "lib/limit.h"
#include "lib/mem.h"
#include "lib/web.h"

int auth_limit_caller(struct limit *limit, const json_t *claims, struct err *err)
{
	static const char *const names[] = { "key", "crt", "sub" };
	const char *id = NULL;

	for (size_t i = 0; i < ARRAY_LEN(names) && !id; i++)
		id = json_text(claims, names[i]);
	return id ? limit_take(limit, id, err) : 0;
}

/* Whoever has an IPv6 address has its /64. */
static const char *source_of(const struct web_req *req)
{
	const char *source = web_header(req, "X-Forwarded-For");
	char *text, buffer[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (!source || !*source || inet_pton(AF_INET6, source, &address) != 1)
		return source && *source ? source : NULL;
	if (IN6_IS_ADDR_V4MAPPED(&address))
		return source;
	memset(&address.s6_addr[8], 0, 8);
	inet_ntop(AF_INET6, &address, buffer, sizeof(buffer));
	text = arena_strdup(req->arena, buffer);
	return text;
}

int auth_limit_attempt(
	struct auth *auth, const struct web_req *req, const char *id, struct err *err)
{
	const char *source = source_of(req);

	if (!auth || !source)
		return 0;
	if (limit_take(auth_source_limit(auth), source, err) < 0)
		return -1;
	return id ? limit_take(auth_attempt_limit(auth),
			    arena_printf(req->arena, "%s %s", source, id), err)
		  : 0;
}
