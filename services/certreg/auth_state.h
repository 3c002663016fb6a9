/* SPDX-License-Identifier: Apache-2.0 */
/* What every service needs to verify tokens offline: the issuer's keys and what is revoked. */
#ifndef CERTREG_AUTH_STATE_H
#define CERTREG_AUTH_STATE_H

#include "lib/web.h"

int auth_state_jwks(struct web_req *req, struct web_res *res, struct err *err);
int auth_state_show(struct web_req *req, struct web_res *res, struct err *err);

#endif
