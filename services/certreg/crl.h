/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/crl: what our own CA issued and is not good any more (RFC 5280 5), DER, for everybody. It
 * tells serial numbers, never whose they are. */
#ifndef CERTREG_CRL_H
#define CERTREG_CRL_H

#include "lib/web.h"

int crl_show(struct web_req *req, struct web_res *res, struct err *err);
/* The number of a reason's name in RFC 5280 5.3.1; 0 (unspecified) for any other. */
int crl_reason(const char *name);

#endif
