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
#define CERTIFICATE_ROTATE_ROUTE "POST /v1/certificates/{certificate_id}:rotate"

/* Where a certificate comes from. */
#define CERTIFICATE_SELF_SIGNED "self-signed"
#define CERTIFICATE_EXTERNAL "external" /* another CA's */
#define CERTIFICATE_ISSUED "issued"	/* by our own CA, to a machine */

int certificate_create(struct web_req *req, struct web_res *res, struct err *err);
/* The same for what the tenant has: of store_certificate_known. */
int certificate_ask_known(struct web_req *req, struct web_res *res,
	const char *params[WEB_READ_PARAMS], struct err *err);
int certificate_answer_known(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err);
int certificate_rotate(struct web_req *req, struct web_res *res, struct err *err);
int certificate_list(struct web_req *req, struct web_res *res, struct err *err);
int certificate_show(struct web_req *req, struct web_res *res, struct err *err);
int certificate_describe(struct web_req *req, struct web_res *res, struct err *err);
int certificate_revoke(struct web_req *req, struct web_res *res, struct err *err);

json_t *certificate_json(const struct certificate *certificate);
void certificate_answer(struct web_req *req, struct web_res *res,
	const struct certificate *certificate, int status);
/* On one's own certificates always, on others' as owner or admin; else auth.role_missing. */
int certificate_may_change(
	const struct web_req *req, const struct certificate *certificate, struct err *err);
/* {"team":"x"} as the text that is stored; at most 64, keys [A-Za-z0-9._/-]{1,63}, values up to 255
 * printable characters. label.invalid. NULL gives NULL. */
int certificate_labels(
	struct arena *arena, const json_t *labels, const char **ret_text, struct err *err);
/* The name of a certificate that was given none: unique, since it has a part of the SPKI digest. */
const char *certificate_default_name(struct arena *arena, const char *subject, const char *spki);

/* What a proof signs. The client builds the same text from what it knows itself. */
struct certificate_proof {
	const char *base_url, *tenant_name, *spki, *server_nonce, *client_nonce;
};
const char *certificate_message(struct arena *arena, const struct certificate_proof *proof);
/* One spelling of a certificate: PEM in lines of 64. */
const char *certificate_pem(struct arena *arena, const unsigned char *der, size_t len);

#endif
