/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP (RFC 6960) for what our own CA issued, signed by the CA itself. */
#ifndef CERTREG_OCSP_H
#define CERTREG_OCSP_H

#include "lib/web.h"

int ocsp_post(struct web_req *req, struct web_res *res, struct err *err);
/* RFC 6960 appendix A by way of the edge, which makes GET /v1/ocsp/<base64> a ?request= of it:
 * slashes inside a path would be somebody else's. */
int ocsp_get(struct web_req *req, struct web_res *res, struct err *err);

#endif
