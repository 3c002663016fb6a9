/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks is the app, an adversary: what was issued is remembered in a ring of fixed size. */
#include "agent/node_agent.h"

#include <stdlib.h>
#include <string.h>

#include "agent/app_http.h"
#include "agent/run.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_BODY (64u << 10)
#define MAX_ISSUED 16u
#define PATIENCE_S 5
#define UUID_SIZE 37u

struct issued {
	char id[UUID_SIZE];
	char *chain;
};

struct node_agent {
	struct app_server *server;
	const struct node_cert *node;
	struct issued issued[MAX_ISSUED];
	size_t n_issued; /* ever */
};

struct exchange {
	struct node_agent *agent;
	struct app_request *request;
	struct buf body;
	json_t *answer;
};

/* --- what is asked for --- */

static void make_uuid(char ret_text[UUID_SIZE])
{
	unsigned char b[16];

	rand_bytes(b, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40; /* RFC 9562: version 4 */
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(ret_text, UUID_SIZE,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		b[15]);
}

static json_t *result_of(const struct issued *issued)
{
	return json_pack("{s:s,s:s,s:s}", "task_id", issued->id, "task_status", "SUCCESS",
		"certificate", issued->chain);
}

static int show_version(struct exchange *exchange, struct err *err)
{
	(void)err;
	exchange->answer = json_pack("{s:s,s:s}", "version", AGENT_VERSION, "api_version", "v1");
	return 0;
}

static int issue(struct exchange *exchange, struct err *err)
{
	struct node_agent *agent = exchange->agent;
	struct issued *slot = &agent->issued[agent->n_issued % MAX_ISSUED];
	auto_json json_t *body =
		json_parse((const char *)exchange->body.data, exchange->body.len, err);
	const char *csr = json_text(body, "csr");
	char *chain = NULL;

	if (!body)
		return -1;
	if (!csr)
		return err_set(err, ERR_INVALID, "node.bad_request", "csr is missing");
	if (node_cert_issue(agent->node, csr, &chain, err) < 0)
		return -1;
	free(slot->chain);
	slot->chain = chain;
	make_uuid(slot->id);
	agent->n_issued++;
	exchange->answer = result_of(slot);
	return 0;
}

static int show_result(struct exchange *exchange, const char *id, struct err *err)
{
	const struct node_agent *agent = exchange->agent;

	for (size_t i = 0; i < MAX_ISSUED && i < agent->n_issued; i++) {
		if (strcmp(agent->issued[i].id, id) == 0) {
			exchange->answer = result_of(&agent->issued[i]);
			return 0;
		}
	}
	return err_set(err, ERR_NOT_FOUND, "node.not_found", "there is no such task");
}

static int route(struct exchange *exchange, struct err *err)
{
	static const char result[] = "/v1/certificate/result/";
	const struct http_head *head = &exchange->request->head;
	const char *target = head->target;
	bool is_get = strcmp(head->method, "GET") == 0, is_post = strcmp(head->method, "POST") == 0;

	if (strcmp(target, "/v1/sys/version") == 0 && is_get)
		return show_version(exchange, err);
	if (strcmp(target, "/v1/certificate/issue") == 0 && is_post)
		return issue(exchange, err);
	if (strncmp(target, result, sizeof(result) - 1) == 0 && (is_get || is_post))
		return show_result(exchange, target + sizeof(result) - 1, err);
	return err_set(err, ERR_NOT_FOUND, "node.not_found", "there is no such route");
}

/* --- one connection --- */

static int add_body(void *arg, const void *data, size_t len, struct err *err)
{
	return buf_add(arg, data, len, err);
}

static int read_and_route(struct exchange *exchange, struct err *err)
{
	struct app_request *request = exchange->request;

	if (request->head.chunked)
		return err_set(err, ERR_INVALID, "node.bad_request", "a body has a Content-Length");
	if (app_request_body(request, MAX_BODY, add_body, &exchange->body, err) < 0)
		return -1;
	return route(exchange, err);
}

static void serve(void *arg, struct app_request *request)
{
	struct exchange exchange = { .agent = arg, .request = request, .body = BUF_INIT(MAX_BODY) };
	auto_free char *text = NULL;
	struct err err = { .kind = ERR_NONE };
	size_t len = 0;

	if (read_and_route(&exchange, &err) < 0) {
		app_refuse(request->fd, &err);
	} else {
		text = json_encode(exchange.answer, &len);
		if (app_send_head(request->fd, 200, "application/json", (long long)len) == 0)
			(void)app_send(request->fd, text, len);
	}
	json_decref(exchange.answer);
	buf_release(&exchange.body);
}

struct node_agent *node_agent_start(int listener, const struct node_cert *node, struct err *err)
{
	struct node_agent *agent = mem_alloc(sizeof(*agent));
	const struct app_server_conf conf = { .listener = listener,
		.connections = 1, /* what was issued is in nobody else's hands then */
		.patience_s = PATIENCE_S,
		.serve = serve,
		.arg = agent };

	agent->node = node;
	agent->server = app_server_start(&conf, err);
	if (agent->server)
		return agent;
	free(agent);
	return NULL;
}

void node_agent_stop(struct node_agent *agent)
{
	if (!agent)
		return;
	app_server_stop(agent->server);
	for (size_t i = 0; i < MAX_ISSUED; i++)
		free(agent->issued[i].chain);
	free(agent);
}
