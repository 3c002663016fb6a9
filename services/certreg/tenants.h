/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants: everybody sees the own one; operators of the instance make, suspend and end them. */
#ifndef CERTREG_TENANTS_H
#define CERTREG_TENANTS_H

#include "lib/web.h"

struct tenant;

#define TENANTS_ROUTE "POST /v1/tenants"

int tenant_self(struct web_req *req, struct web_res *res, struct err *err);
int tenant_create(struct web_req *req, struct web_res *res, struct err *err);
int tenant_list(struct web_req *req, struct web_res *res, struct err *err);
int tenant_show(struct web_req *req, struct web_res *res, struct err *err);
int tenant_suspend(struct web_req *req, struct web_res *res, struct err *err);
int tenant_resume(struct web_req *req, struct web_res *res, struct err *err);
int tenant_delete(struct web_req *req, struct web_res *res, struct err *err);

json_t *tenant_json(const struct tenant *tenant);

#endif
