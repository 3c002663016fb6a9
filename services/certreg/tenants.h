/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's own tenant. */
#ifndef CERTREG_TENANTS_H
#define CERTREG_TENANTS_H

#include "lib/web.h"

int tenant_self(struct web_req *req, struct web_res *res, struct err *err);

#endif
