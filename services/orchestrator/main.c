/* SPDX-License-Identifier: Apache-2.0 */
/* The orchestrator: runs as rows, the agents' channel, events, and the relay of encrypted objects.
 */
#include "lib/fetch_named.h"
#include "lib/web_rows.h"
#include "services/orchestrator/agent.h"
#include "services/orchestrator/config.h"
#include "services/orchestrator/egress.h"
#include "services/orchestrator/events.h"
#include "services/orchestrator/migrations.h"
#include "services/orchestrator/object_sweep.h"
#include "services/orchestrator/objects.h"
#include "services/orchestrator/runs.h"
#include "services/orchestrator/store.h"
#include "services/orchestrator/transitions.h"
#include "services/orchestrator/tunnels.h"

#define SMALL (64 * 1024)
#define RECEIPT (256 * 1024)

static const struct conf_item config[] = {
	{ "objects_dir", CONF_TEXT, offsetof(struct orchestrator_conf, objects_dir), NULL,
		"folder of the objects" },
	{ "object_quota", CONF_SIZE, offsetof(struct orchestrator_conf, object_quota_bytes), "20g",
		"bytes that one tenant may store" },
	{ "object_retention_days", CONF_COUNT,
		offsetof(struct orchestrator_conf, object_retention_days), "0",
		"days that an object outlives its last run; 0: until it is deleted" },
	{ "fetch_ports", CONF_TEXT, offsetof(struct orchestrator_conf, fetch_ports), "443",
		"ports of them that sandboxes may reach: 443,8000-8999" },
	{ "fetch_prefixes", CONF_TEXT, offsetof(struct orchestrator_conf, fetch_prefixes), "",
		"addresses that sandboxes may reach although they are internal: 10.1.0.0/16, "
		"joined by ','" },
	{ NULL, CONF_TEXT, 0, NULL, NULL },
};

static const struct lane_conf lanes[] = {
	{ "db", 0, 256, 0 },
	{ "peers", 4, 128, 0 }, /* asks policy or provisioner */
	{ "files", 2, 64, 0 },	/* hashes a whole object */
	{ "egress", 4, 64, 2 }, /* resolves names of others', at their speed */
	{ NULL, 0, 0, 0 },
};

#define CHANGE(method, path, lane, max, json, handler)                                             \
	{                                                                                          \
		method, path, WEB_MEMBER, "write", lane, max, json, .handle = (handler)            \
	}
#define AGENT(method, path, lane, max, handler)                                                    \
	{                                                                                          \
		method, path, WEB_AGENT, NULL, lane, max, (max) > 0, .handle = (handler)           \
	}

static const struct web_route routes[] = {
	CHANGE("POST", "/v1/runs", "peers", SMALL, true, run_create),
	READ("/v1/runs", run_list),
	READ("/v1/runs/{run_id}", run_show),
	CHANGE("POST", "/v1/runs/{run_id}:order", "peers", SMALL, true, run_reorder),
	CHANGE("POST", "/v1/runs/{run_id}:cancel", "db", SMALL, false, run_cancel),
	READ("/v1/runs/{run_id}/events", run_events),
	CHANGE("POST", "/v1/objects", "db", SMALL, true, object_create),
	READ("/v1/objects/{object_id}", object_get),
	{ "HEAD", "/v1/objects/{object_id}", WEB_MEMBER, "read", "db", 0, false,
		.handle = object_head },
	CHANGE("PUT", "/v1/objects/{object_id}", "files", 0, false, object_close),
	CHANGE("DELETE", "/v1/objects/{object_id}", "db", 0, false, object_delete),
	{ "PATCH", "/v1/objects/{object_id}", WEB_MEMBER, "write", "db", 0, false,
		.stream = &object_upload },
	AGENT("GET", "/v1/agent/work", "peers", 0, agent_work),
	AGENT("GET", "/v1/agent/runs/{run_id}", "db", 0, agent_run),
	AGENT("POST", "/v1/agent/runs/{run_id}/events", "db", SMALL, agent_event),
	AGENT("POST", "/v1/agent/runs/{run_id}/result", "peers", RECEIPT, agent_result),
	AGENT("POST", "/v1/agent/objects", "db", SMALL, object_create_output),
	AGENT("GET", "/v1/agent/objects/{object_id}", "db", 0, object_get),
	AGENT("HEAD", "/v1/agent/objects/{object_id}", "db", 0, object_head),
	{ "PUT", "/v1/agent/objects/{object_id}", WEB_AGENT, NULL, "files", 0, false,
		.handle = object_close },
	{ "PATCH", "/v1/agent/objects/{object_id}", WEB_AGENT, NULL, "db", 0, false,
		.stream = &object_upload },
	{ "GET", "/v1/agent/egress", WEB_AGENT, NULL, "egress", 0, false, .stream = &egress },
	{ "GET", "/internal/v1/sandboxes/{sandbox_id}/image", WEB_SERVICE, "certreg", "db", 0,
		false, .handle = sandbox_image },
	{ .method = NULL },
};

static const struct service_loop loops[] = {
	{ "runs", "run", 500, transitions_run, true },
	{ "orders", "order", 60000, transitions_wake, false },
	{ "tunnels", NULL, 1000, tunnels_watch, false },
	{ NULL, NULL, 0, NULL, false },
};

static int init(struct worker *worker, struct err *err)
{
	struct orchestrator_conf *conf = worker->program;

	if (fetch_named_check_prefixes(conf->fetch_prefixes, err) < 0 ||
		fetch_named_check_ports(conf->fetch_ports, err) < 0 ||
		objects_init(worker, err) < 0)
		return -1;
	conf->tunnels = tunnels_new();
	return 0;
}

static void deinit(void *program)
{
	struct orchestrator_conf *conf = program;

	tunnels_free(conf->tunnels);
}

static const struct service orchestrator = {
	.name = "orchestrator",
	.config = config,
	.config_size = sizeof(struct orchestrator_conf),
	.lanes = lanes,
	.routes = routes,
	.loops = loops,
	.migrations = migrations,
	.forgets = store_forgets,
	.forget = object_sweep,
	.init = init,
	.tell_rest = tunnels_tell_rest,
	.deinit = deinit,
};

int main(int argc, char **argv)
{
	return service_main(&orchestrator, argc, argv);
}
