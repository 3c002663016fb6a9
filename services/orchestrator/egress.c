/* SPDX-License-Identifier: Apache-2.0 */
/* Who may have a tunnel whereto (egress.h); the tunnel itself is tunnel.c. */
#include "services/orchestrator/egress.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"
#include "services/orchestrator/agent.h"
#include "services/orchestrator/config.h"
#include "services/orchestrator/peers.h"
#include "services/orchestrator/tunnel.h"

struct wish {
	const char *target, *run;
	long long fence;
};

static int read_wish(const struct web_req *req, struct wish *wish, struct err *err)
{
	const char *fence = web_query(req, "fence");

	wish->target = web_query(req, "target");
	wish->run = web_query(req, "run");
	if (!wish->target || !wish->run || !fence || !*fence || strlen(fence) > 15 ||
		strspn(fence, "0123456789") != strlen(fence))
		return err_set(err, ERR_INVALID, "egress.bad_request",
			"target=host:port, run= and fence= are needed");
	wish->fence = strtoll(fence, NULL, 10);
	return 0;
}

/* The run in its agent's hands, and nobody else's. */
static int find_run(
	struct web_req *req, const struct wish *wish, struct run *ret_run, struct err *err)
{
	if (agent_own_run(req, wish->run, ret_run, err) < 0)
		return -1;
	if (ret_run->fence == wish->fence && strcmp(ret_run->state, "running") == 0)
		return 0;
	return err_set(err, ERR_CONFLICT, "run.stale_fence", "fence %lld does not hold this run",
		wish->fence);
}

/* Asked of the document that the run is for, whose hash stands in its row. */
static int check_policy(
	struct web_req *req, const struct run *run, const char *target, struct err *err)
{
	auto_json json_t *order = NULL;
	struct trust_policy policy;
	const char *text;

	if (peers_order(req->worker, run->tenant, run->order, &order, err) < 0)
		return -1;
	text = json_text(order, "document");
	if (!text || trust_policy_parse(req->arena, text, strlen(text), &policy, NULL) < 0 ||
		strcmp(policy.hash, run->policy_hash) != 0)
		return err_set(err, ERR_UPSTREAM, "run.order_incomplete",
			"order '%s' of run '%s' is not for its policy", run->order, run->id);
	if (trust_policy_reaches(&policy, target))
		return 0;
	return err_set(err, ERR_FORBIDDEN, "egress.not_in_policy",
		"the policy does not let this run reach '%s'", target);
}

/* "host:port"; the policy's check has seen that it is one. */
static int resolve(struct web_req *req, const char *target, struct tunnel *tunnel, struct err *err)
{
	const struct orchestrator_conf *conf = req->worker->program;
	const struct fetch_named_conf rules = { .ports = conf->fetch_ports,
		.prefixes = conf->fetch_prefixes };
	const char *colon = strrchr(target, ':');
	const char *host = arena_strndup(req->arena, target, (size_t)(colon - target));

	if (fetch_named_resolve(
		    &rules, host, colon + 1, tunnel->addresses, &tunnel->n_addresses, NULL) == 0)
		return 0;
	return err_set(err, ERR_FORBIDDEN, "egress.address_refused",
		"'%s' is unknown, or not a public host", target);
}

static int egress_begin(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err)
{
	const struct orchestrator_conf *conf = req->worker->program;
	struct tunnel *tunnel;
	struct wish wish = { 0 };
	struct run run;

	(void)res;
	if (read_wish(req, &wish, err) < 0 || find_run(req, &wish, &run, err) < 0 ||
		check_policy(req, &run, wish.target, err) < 0)
		return -1;
	tunnel = mem_alloc(sizeof(*tunnel));
	tunnel->use = tunnels_enter(conf->tunnels, &run, wish.target, req->principal, err);
	if (tunnel->use && resolve(req, wish.target, tunnel, err) == 0 &&
		store_egress_begin(req->worker->db, &run, wish.target, err) == 0) {
		*ret_ctx = tunnel;
		return 0;
	}
	if (tunnel->use)
		tunnels_leave(tunnel->use);
	free(tunnel);
	return -1;
}

const struct web_stream_ops egress = {
	.begin = egress_begin,
	.relay = tunnel_relay,
	.body = tunnel_body,
	.end = tunnel_end,
	.drained = tunnel_drained,
	.release = tunnel_release,
	.upgrade = "strongroom-egress",
};
