/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /healthz (the loop turns), /readyz (database, schema, revocations; Redis only degrades),
 * /metrics: neither behind the edge nor behind a token, since the edge does not route them.
 * /internal/v1/feed: the audit records that certreg fetches.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/db.h"
#include "lib/mem.h"
#include "lib/metrics.h"
#include "lib/service_inner.h"
#include "lib/wake.h"

#define MAX_METRICS_BYTES (1024u * 1024u)

static int healthz_get(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)req;
	(void)err;
	res->json = json_pack("{s:s}", "status", "ok");
	return 0;
}

static bool is_draining(struct service_state *state)
{
	bool draining;

	pthread_mutex_lock(&state->server_mutex);
	draining = !state->server || web_server_is_draining(state->server);
	pthread_mutex_unlock(&state->server_mutex);
	return draining;
}

static int check_ready(struct worker *worker, struct err *err)
{
	struct service_state *state = ((struct service_worker *)worker)->state;
	const struct service *service = state->service;

	if (is_draining(state))
		return err_set(
			err, ERR_UNAVAILABLE, "service.draining", "the service is about to stop");
	if (worker->db && db_ping(worker->db, err) < 0)
		return -1;
	if (worker->db && service->migrations &&
		db_migrated(worker->db, service->name, service->migrations, err) < 0)
		return -1;
	/* nobody can be let in before the first list of revocations is here */
	return worker->auth ? auth_ready(worker->auth, err) : 0;
}

static int readyz_get(struct web_req *req, struct web_res *res, struct err *err)
{
	struct worker *worker = req->worker;

	if (check_ready(worker, err) < 0) {
		err->kind = ERR_UNAVAILABLE;
		return -1;
	}
	res->json = json_pack("{s:s, s:s}", "status", "ready", "wake",
		worker->wake && !wake_ok(worker->wake) ? "degraded" : "ok");
	return 0;
}

static int metrics_get(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_buf out = BUF_INIT(MAX_METRICS_BYTES);

	if (metrics_write(&out, err) < 0)
		return -1;
	res->text = arena_dup(req->arena, out.data, out.len);
	res->text_len = out.len;
	res->content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
	return 0;
}

static int feed_get(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *query = web_query(req, "taken");
	auto_free unsigned char *taken = NULL;
	json_t *rows;
	size_t len;

	if (!query || codec_b64url_decode(query, strlen(query), &taken, &len, NULL) < 0 ||
		strspn((char *)taken, "{[)},0123456789") != len)
		return err_set(err, ERR_INVALID, "request.bad_query", "taken is a list of ranges");
	if (audit_feed(req->worker->db, (char *)taken, &rows, err) < 0)
		return -1;
	res->json = json_pack("{s:o}", "items", rows);
	return 0;
}

static const struct web_route ops_routes[] = {
	{ .method = "GET",
		.path = "/internal/v1/feed",
		.access = WEB_SERVICE,
		.scope = "certreg",
		.lane = "ops",
		.handle = feed_get },
	{ .method = "GET",
		.path = "/healthz",
		.access = WEB_PUBLIC,
		.lane = "loop",
		.handle = healthz_get },
	{ .method = "GET",
		.path = "/readyz",
		.access = WEB_PUBLIC,
		.lane = "ops",
		.handle = readyz_get },
	{ .method = "GET",
		.path = "/metrics",
		.access = WEB_PUBLIC,
		.lane = "loop",
		.handle = metrics_get },
};

static const struct lane_conf ops_lane = { .name = "ops", .threads = 1, .queue = 16 };

struct web_route *service_ops_routes(const struct web_route *routes)
{
	struct web_route *all;
	size_t count = 0;

	while (routes[count].method)
		count++;
	all = mem_array(count + ARRAY_LEN(ops_routes) + 1, sizeof(*all));
	memcpy(all, routes, count * sizeof(*all));
	memcpy(all + count, ops_routes, sizeof(ops_routes));
	return all;
}

struct lane_conf *service_ops_lanes(const struct lane_conf *lanes)
{
	struct lane_conf *all;
	size_t count = 0;

	while (lanes[count].name)
		count++;
	all = mem_array(count + 2, sizeof(*all));
	memcpy(all, lanes, count * sizeof(*all));
	all[count] = ops_lane;
	return all;
}
