/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates: registered with proof of possession, one record for a key (SPKI) in a tenant.
 * certreg is a directory: it says who showed a key first, never that the key may do anything.
 */
#ifndef CERTREG_CERTIFICATES_H
#define CERTREG_CERTIFICATES_H

#include <stddef.h>

#include "lib/web.h"

struct certificate;

#define CERTIFICATES_ROUTE "POST /v1/certificates"

int certificate_create(struct web_req *req, struct web_res *res, struct err *err);
int certificate_list(struct web_req *req, struct web_res *res, struct err *err);
int certificate_show(struct web_req *req, struct web_res *res, struct err *err);
int certificate_revoke(struct web_req *req, struct web_res *res, struct err *err);

json_t *certificate_json(const struct certificate *certificate);

/* What a proof signs. The client builds the same text from what it knows itself. */
struct certificate_proof {
	const char *base_url, *tenant_name, *spki, *server_nonce, *client_nonce;
};
const char *certificate_message(struct arena *arena, const struct certificate_proof *proof);
/* One spelling of a certificate: PEM in lines of 64. */
const char *certificate_pem(struct arena *arena, const unsigned char *der, size_t len);

#endif
