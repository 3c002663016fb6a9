/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of the app is one tunnel; the orchestrator holds its target against the policy
 * once more. */
#include "agent/proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "agent/app_http.h"
#include "lib/json.h"
#include "lib/mem.h"

#define CONNECTIONS 16
#define PATIENCE_S 60
#define TLS_HANDSHAKE 0x16 /* the first record of a connection, and who opens it sends it */

struct proxy {
	struct app_server *server;
	struct egress *egress;
	const json_t *domains;
};

/* As the policy spells it, or NULL. */
static const char *approved(const struct proxy *proxy, const char *target)
{
	json_t *domain;
	size_t i;

	json_array_foreach (proxy->domains, i, domain) {
		if (strcasecmp(json_string_value(domain), target) == 0)
			return json_string_value(domain);
	}
	return NULL;
}

static size_t early_len(const struct app_request *request)
{
	return request->in.len - request->head_len;
}

static int check_hello(unsigned char first, struct err *err)
{
	if (first == TLS_HANDSHAKE)
		return 0;
	return err_set(err, ERR_FORBIDDEN, "egress.plain_http",
		"what goes through must be TLS, from its first byte");
}

/* The byte stays where it is. */
static int wait_for_hello(const struct app_request *request, struct err *err)
{
	unsigned char first;
	ssize_t got;

	if (early_len(request) > 0)
		return 0; /* it was looked at */
	do
		got = recv(request->fd, &first, 1, MSG_PEEK);
	while (got < 0 && errno == EINTR);
	return got == 1 ? check_hello(first, err)
			: err_set(err, ERR_FORBIDDEN, "egress.plain_http", "no TLS came");
}

static int connect_to(const struct proxy *proxy, const struct app_request *request,
	const char **ret_target, struct fetch_tunnel **ret_tunnel, struct err *err)
{
	const struct http_head *head = &request->head;
	const char *target;

	if (strcmp(head->method, "CONNECT") != 0)
		return err_set(err, ERR_FORBIDDEN, "egress.plain_http",
			"only CONNECT, for TLS from end to end");
	if (early_len(request) > 0 && check_hello(request->in.data[request->head_len], err) < 0)
		return -1;
	target = approved(proxy, head->target);
	if (!target)
		return err_set(err, ERR_FORBIDDEN, "egress.not_approved",
			"the policy does not name this domain");
	*ret_target = target;
	return egress_open(proxy->egress, target, ret_tunnel, err);
}

static void serve(void *arg, struct app_request *request)
{
	static const char done[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	struct proxy *proxy = arg;
	struct fetch_tunnel *tunnel = NULL;
	struct fetch_pump pump = { .fd = request->fd,
		.before = request->in.data + request->head_len,
		.before_len = early_len(request) };
	struct err err = { .kind = ERR_NONE };
	const char *target = NULL;

	if (connect_to(proxy, request, &target, &tunnel, &err) < 0) {
		app_refuse(
			request->fd, &err); /* no line: it would be the app's word on the console */
	} else if (app_send(request->fd, done, sizeof(done) - 1) < 0) {
		egress_close(proxy->egress, target, tunnel, &pump);
	} else if (wait_for_hello(request, &err) < 0) {
		app_refuse(request->fd, &err);
		egress_close(proxy->egress, target, tunnel, &pump);
	} else {
		egress_pump(proxy->egress, target, tunnel, &pump);
	}
}

struct proxy *proxy_start(
	int listener, struct egress *egress, const json_t *domains, struct err *err)
{
	struct proxy *proxy = mem_alloc(sizeof(*proxy));
	const struct app_server_conf conf = { .listener = listener,
		.is_proxy = true,
		.connections = CONNECTIONS,
		.patience_s = PATIENCE_S,
		.serve = serve,
		.arg = proxy };

	proxy->egress = egress;
	proxy->domains = domains;
	proxy->server = app_server_start(&conf, err);
	if (proxy->server)
		return proxy;
	free(proxy);
	return NULL;
}

void proxy_stop(struct proxy *proxy)
{
	if (!proxy)
		return;
	app_server_stop(proxy->server);
	free(proxy);
}
