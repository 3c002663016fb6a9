/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's own tenant; no other is ever shown. */
#include "services/certreg/tenants.h"

#include "lib/auth.h"
#include "lib/service.h"
#include "services/certreg/store.h"

int tenant_self(struct web_req *req, struct web_res *res, struct err *err)
{
	struct tenant tenant;

	if (store_tenant(req->worker->db, req->principal->tenant, req->arena, &tenant, err) < 0)
		return -1;
	res->json = json_pack("{s:s,s:s,s:s,s:s}", "id", tenant.id, "name", tenant.name, "space",
		tenant.space, "created_at", tenant.created_at);
	resource_etag(req, res, tenant.revision);
	return 0;
}
