/* SPDX-License-Identifier: Apache-2.0 */
/* The policy service: what may run on what, who agreed, and the words that start it. */
#include "lib/service.h"
#include "services/policy/datasets.h"
#include "services/policy/migrations.h"
#include "services/policy/orders.h"
#include "services/policy/pipelines.h"
#include "services/policy/policies.h"
#include "services/policy/projections.h"
#include "services/policy/store.h"

#define DOCUMENT_MAX (1024 * 1024)
#define SMALL_MAX (64 * 1024)

static const struct lane_conf lanes[] = { { "db", 0, 256 }, { NULL, 0, 0 } };

#define READ(path, handler)                                                                        \
	{                                                                                          \
		"GET", path, WEB_MEMBER, "read", "db", 0, false, .handle = (handler)               \
	}
#define READ_ONE(path, row)                                                                        \
	{                                                                                          \
		.method = "GET", path, WEB_MEMBER, "read", "db", .read = &(row)                    \
	}
#define WRITE(method, path, max, handler)                                                          \
	{                                                                                          \
		method, path, WEB_MEMBER, "write", "db", max, true, .handle = (handler)            \
	}
#define DROP(path, handler)                                                                        \
	{                                                                                          \
		"DELETE", path, WEB_MEMBER, "write", "db", 0, false, .handle = (handler)           \
	}
#define INTERNAL(path, handler)                                                                    \
	{                                                                                          \
		"GET", path, WEB_SERVICE, "orchestrator", "db", 0, false, .handle = (handler)      \
	}

static const struct web_route routes[] = {
	WRITE("POST", "/v1/policies", DOCUMENT_MAX, policy_create),
	READ("/v1/policies", policy_list),
	READ_ONE("/v1/policies/{policy_id}", store_policy_read),
	DROP("/v1/policies/{policy_id}", policy_delete),
	WRITE("POST", "/v1/policies/{policy_id}/approvals", SMALL_MAX, policy_approve),
	WRITE("POST", "/v1/pipelines", SMALL_MAX, pipeline_create),
	READ("/v1/pipelines", pipeline_list),
	READ_ONE("/v1/pipelines/{pipeline_id}", store_pipeline_read),
	WRITE("PUT", "/v1/pipelines/{pipeline_id}", SMALL_MAX, pipeline_update),
	DROP("/v1/pipelines/{pipeline_id}", pipeline_delete),
	WRITE("POST", "/v1/projections", SMALL_MAX, projection_create),
	READ("/v1/projections", projection_list),
	READ_ONE("/v1/projections/{projection_id}", store_projection_read),
	WRITE("PUT", "/v1/projections/{projection_id}", SMALL_MAX, projection_update),
	DROP("/v1/projections/{projection_id}", projection_delete),
	WRITE("POST", "/v1/datasets", SMALL_MAX, dataset_create),
	READ("/v1/datasets", dataset_list),
	READ_ONE("/v1/datasets/{dataset_id}", store_dataset_read),
	WRITE("PUT", "/v1/datasets/{dataset_id}", SMALL_MAX, dataset_update),
	DROP("/v1/datasets/{dataset_id}", dataset_delete),
	WRITE("POST", "/v1/datasets/{dataset_id}/versions", SMALL_MAX, dataset_version_create),
	READ("/v1/datasets/{dataset_id}/versions", dataset_version_list),
	WRITE("POST", "/v1/orders", DOCUMENT_MAX, order_create),
	INTERNAL("/internal/v1/tenants/{tenant_id}/orders/{order_id}", order_internal),
	INTERNAL("/internal/v1/tenants/{tenant_id}/pipelines/{pipeline_id}", pipeline_internal),
	{ .method = NULL },
};

static const struct service policy = {
	.name = "policy",
	.lanes = lanes,
	.routes = routes,
	.migrations = migrations,
	.forgets = store_forgets,
};

int main(int argc, char **argv)
{
	return service_main(&policy, argc, argv);
}
