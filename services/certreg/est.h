/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment over Secure Transport (RFC 7030): certificates for machines by our own CA. A machine
 * shows an API key (Basic, or a Bearer token bought with one) the first time, and its certificate
 * over TLS when it renews, with a new key. Failures are problem+json, as everywhere.
 */
#ifndef CERTREG_EST_H
#define CERTREG_EST_H

#include "lib/web.h"

int est_cacerts(struct web_req *req, struct web_res *res, struct err *err);
extern const struct web_change est_enroll;
int est_reenroll(struct web_req *req, struct web_res *res, struct err *err);

#endif
