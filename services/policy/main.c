/* SPDX-License-Identifier: Apache-2.0 */
/* The policy service: what may run on what, who agreed, and the words that start it. */
#include <stddef.h>

#include "lib/auth.h"
#include "lib/fetch_named.h"
#include "lib/service.h"
#include "lib/web_rows.h"
#include "services/policy/apps.h"
#include "services/policy/config.h"
#include "services/policy/constraints.h"
#include "services/policy/datasets.h"
#include "services/policy/departures.h"
#include "services/policy/explain.h"
#include "services/policy/migrations.h"
#include "services/policy/orders.h"
#include "services/policy/pipelines.h"
#include "services/policy/policies.h"
#include "services/policy/projections.h"
#include "services/policy/shares.h"
#include "services/policy/store.h"
#include "services/policy/tasks.h"
#include "services/policy/workflows.h"

#define DEPARTURES_BEAT_MS 300000
#define DOCUMENT_MAX (1024 * 1024)
#define SMALL_MAX (64 * 1024)
#define DATASET_MAX (256 * 1024) /* its long description, with escapes */

static const struct conf_item config[] = {
	{ "fetch_ports", CONF_TEXT, offsetof(struct policy_conf, fetch_ports), "443",
		"ports that are asked for what members name by URL, joined by ','" },
	{ "fetch_prefixes", CONF_TEXT, offsetof(struct policy_conf, fetch_prefixes), "",
		"addresses that may be asked although they are internal: 10.1.0.0/16, joined by "
		"','" },
	{ "fetch_ca_file", CONF_TEXT, offsetof(struct policy_conf, fetch_ca_file), "",
		"PEM bundle for those hosts; empty: the system's" },
	{ "fetch_timeout", CONF_MS, offsetof(struct policy_conf, fetch_timeout_ms), "10s",
		"for what members name by URL" },
	{ NULL, CONF_TEXT, 0, NULL, NULL },
};

static const struct lane_conf lanes[] = {
	{ "db", 0, 256, 0 },
	{ "fetch", 2, 32, 1 }, /* waits for hosts of others, at their speed */
	{ "peers", 2, 64, 0 }, /* asks certreg */
	{ NULL, 0, 0, 0 },
};

#define INTERNAL(method, path, lane, handler)                                                      \
	{                                                                                          \
		method, path, WEB_SERVICE, "orchestrator", lane, 0, false, .handle = (handler)     \
	}

/* Rows of a `struct record_kind`. */
#define SHOW(path, kind)                                                                           \
	{                                                                                          \
		.method = "GET", path, WEB_MEMBER, "read", "db", .read = &(kind).read,             \
		.of = &(kind)                                                                      \
	}
#define DROP(path, action, kind)                                                                   \
	{                                                                                          \
		"DELETE", path, WEB_MEMBER, "write", "db", 0, false, .handle = (action),           \
								     .of = &(kind)                 \
	}
#define CHANGE(method, path, max, action, kind)                                                    \
	{                                                                                          \
		method, path, WEB_MEMBER, "write", "db", max, true, .handle = (action),            \
								    .of = &(kind)                  \
	}
#define ACT(path, action, kind)                                                                    \
	{                                                                                          \
		"POST", path, WEB_MEMBER, "write", "db", 0, false, .handle = (action),             \
								   .of = &(kind)                   \
	}
#define LIST(path, action, kind)                                                                   \
	{                                                                                          \
		"GET", path, WEB_MEMBER, "read", "db", 0, false, .handle = (action), .of = &(kind) \
	}
#define SHARES(all, one, kind)                                                                     \
	CHANGE("POST", all, SMALL_MAX, share_create, kind), LIST(all, share_list, kind),           \
		DROP(one, share_delete, kind)
#define RECORDS(all, one, max, kind)                                                               \
	CHANGE("POST", all, max, record_create, kind), LIST(all, record_list, kind),               \
		SHOW(one, kind), CHANGE("PUT", one, max, record_update, kind),                     \
		DROP(one, record_delete, kind)

static const struct web_route routes[] = {
	WRITE("POST", "/v1/policies", DOCUMENT_MAX, policy_create),
	READ("/v1/policies", policy_list),
	SHOW("/v1/policies/{policy_id}", policy_kind),
	DROP("/v1/policies/{policy_id}", record_delete, policy_kind),
	WRITE("POST", "/v1/policies/{policy_id}/approvals", SMALL_MAX, policy_approve),
	WRITE("POST", "/v1/policies:explain", DOCUMENT_MAX + CONSTRAINTS_BODY_MAX,
		explain_document),
	WRITE("POST", "/v1/policies/{policy_id}:explain", SMALL_MAX, explain_policy),
	READ("/v1/policies/{policy_id}/diff", explain_diff),
	READ("/v1/policies/schema", explain_schema),
	CHANGE("POST", "/v1/constraints", CONSTRAINTS_BODY_MAX, record_create, constraint_kind),
	LIST("/v1/constraints", record_list, constraint_kind),
	SHOW("/v1/constraints/{constraint_id}", constraint_kind),
	CHANGE("PUT", "/v1/constraints/{constraint_id}", CONSTRAINTS_BODY_MAX, constraint_update,
		constraint_kind),
	DROP("/v1/constraints/{constraint_id}", constraint_delete, constraint_kind),
	RECORDS("/v1/pipelines", "/v1/pipelines/{pipeline_id}", SMALL_MAX, pipeline_kind),
	RECORDS("/v1/projections", "/v1/projections/{projection_id}", SMALL_MAX, projection_kind),
	SHARES("/v1/projections/{projection_id}/shares",
		"/v1/projections/{projection_id}/shares/{share_id}", projection_kind),
	RECORDS("/v1/datasets", "/v1/datasets/{dataset_id}", DATASET_MAX, dataset_kind),
	WRITE("POST", "/v1/datasets/{dataset_id}/versions", SMALL_MAX, dataset_version_create),
	READ("/v1/datasets/{dataset_id}/versions", dataset_version_list),
	RECORDS("/v1/apps", "/v1/apps/{app_id}", SMALL_MAX, app_kind),
	SHARES("/v1/apps/{app_id}/shares", "/v1/apps/{app_id}/shares/{share_id}", app_kind),
	RECORDS("/v1/app-configs", "/v1/app-configs/{config_id}", DOCUMENT_MAX, app_config_kind),
	LIST("/v1/tasks", record_list, task_kind),
	SHOW("/v1/tasks/{task_id}", task_kind),
	ACT("/v1/tasks/{task_id}:approve", task_approve, task_kind),
	CHANGE("POST", "/v1/tasks/{task_id}:deny", SMALL_MAX, task_deny, task_kind),
	{ "POST", "/v1/datasets/{dataset_id}:fetch-description", WEB_MEMBER, "write", "fetch",
		SMALL_MAX, true, .handle = dataset_fetch_description, .of = &dataset_kind },
	CHANGE("PUT", "/v1/datasets/{dataset_id}/credentials", SMALL_MAX, dataset_credentials_set,
		dataset_kind),
	READ("/v1/datasets/{dataset_id}/credentials", dataset_credentials_show),
	SHARES("/v1/datasets/{dataset_id}/shares", "/v1/datasets/{dataset_id}/shares/{share_id}",
		dataset_kind),
	RECORDS("/v1/workflows", "/v1/workflows/{workflow_id}", WORKFLOW_BODY_MAX, workflow_kind),
	WRITE("POST", "/v1/workflows/{workflow_id}:validate", SMALL_MAX, workflow_validate),
	WRITE("POST", "/v1/workflows/{workflow_id}:request", SMALL_MAX, workflow_request),
	WRITE("POST", "/v1/workflows/{workflow_id}:withdraw", SMALL_MAX, workflow_withdraw),
	READ("/v1/workflows/{workflow_id}/versions", workflow_version_list),
	READ("/v1/workflows/{workflow_id}/versions/{version}", workflow_version_show),
	READ("/v1/workflows/{workflow_id}/diff", workflow_diff),
	WRITE("POST", "/v1/orders", DOCUMENT_MAX, order_create),
	READ("/v1/orders/{order_id}", order_show),
	WRITE("POST", "/v1/orders/{order_id}/grants", DOCUMENT_MAX, order_release),
	{ "DELETE", "/v1/orders/{order_id}/grants/{slot...}", WEB_MEMBER, "write", "db", 0, false,
		.handle = order_withdraw },
	INTERNAL("GET", "/internal/v1/tenants/{tenant_id}/orders/{order_id}", "db", order_internal),
	INTERNAL("POST", "/internal/v1/tenants/{tenant_id}/orders/{order_id}:start", "peers",
		order_start),
	INTERNAL("GET", "/internal/v1/tenants/{tenant_id}/pipelines/{pipeline_id}", "db",
		pipeline_internal),
	{ .method = NULL },
};

static int check_config(struct worker *worker, struct err *err)
{
	const struct policy_conf *conf = worker->program;

	if (fetch_named_check_prefixes(conf->fetch_prefixes, err) < 0)
		return -1;
	return fetch_named_check_ports(conf->fetch_ports, err);
}

static const struct service_loop loops[] = {
	{ "departures", AUTH_EPOCH_TOPIC, DEPARTURES_BEAT_MS, departures_follow, false },
	{ NULL, NULL, 0, NULL, false },
};

static const struct service policy = {
	.name = "policy",
	.config = config,
	.config_size = sizeof(struct policy_conf),
	.init = check_config,
	.lanes = lanes,
	.routes = routes,
	.loops = loops,
	.migrations = migrations,
	.forgets = store_forgets,
};

int main(int argc, char **argv)
{
	return service_main(&policy, argc, argv);
}
