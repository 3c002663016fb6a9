/* SPDX-License-Identifier: Apache-2.0 */
/* Queries of peers.h. */
#include "services/orchestrator/peers.h"

#include "lib/id.h"
#include "lib/mem.h"
#include "lib/peer.h"

static int not_found(const char *thing, const char *id, struct err *err)
{
	char code[48];

	snprintf(code, sizeof(code), "%s.not_found", thing);
	return err_set(err, ERR_NOT_FOUND, code, "there is no %s '%s'", thing, id);
}

int peers_pipeline(struct worker *worker, const char *tenant, const char *id, json_t **ret_pipeline,
	struct err *err)
{
	auto_free char *path = mem_printf("/internal/v1/tenants/%s/pipelines/%s", tenant, id);

	if (!id_is(id, "pip"))
		return not_found("pipeline", id, err);
	return peer_get(worker, PEER_POLICY, path, ret_pipeline, err);
}

int peers_order(struct worker *worker, const char *tenant, const char *id, json_t **ret_order,
	struct err *err)
{
	auto_free char *path = mem_printf("/internal/v1/tenants/%s/orders/%s", tenant, id);

	if (!id_is(id, "ord"))
		return not_found("order", id, err);
	return peer_get(worker, PEER_POLICY, path, ret_order, err);
}

int peers_order_start(struct worker *worker, const char *tenant, const char *id, json_t **ret_order,
	struct err *err)
{
	auto_free char *path = mem_printf("/internal/v1/tenants/%s/orders/%s:start", tenant, id);

	return peer_post(worker, PEER_POLICY, path, ret_order, err);
}

int peers_sandbox(struct worker *worker, const char *tenant, const char *id, json_t **ret_sandbox,
	struct err *err)
{
	auto_free char *path = mem_printf("/internal/v1/tenants/%s/sandboxes/%s", tenant, id);

	if (!id_is(id, "sbx"))
		return not_found("sandbox", id, err);
	return peer_get(worker, PEER_PROVISIONER, path, ret_sandbox, err);
}
