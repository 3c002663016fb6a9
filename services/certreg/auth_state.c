/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /.well-known/jwks.json for everybody and GET /internal/v1/auth-state for the services. An id
 * stays on the list of revoked ones until the last token that could rest on it has expired. Every
 * service reads the whole list: a tenant that revokes very much has one entry there, by which all
 * its tokens made so far are dead.
 */
#include "services/certreg/auth_state.h"

#include "lib/auth.h"
#include "lib/service.h"
#include "services/certreg/issuer.h"
#include "services/certreg/store_tokens.h"

_Static_assert(AUTH_REVOKED_SECONDS >= 2 * TOKEN_SECONDS, "the last token has expired by then");

int auth_state_jwks(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)err;
	res->json = issuer_jwks(certreg_of(req->worker));
	web_header_add(res, "Cache-Control", "public, max-age=60");
	return 0;
}

int auth_state_show(struct web_req *req, struct web_res *res, struct err *err)
{
	long long epoch;
	json_t *revoked;

	if (store_revoked(req->worker->db, AUTH_REVOKED_SECONDS, &revoked, &epoch, err) < 0)
		return -1;
	res->json = json_pack("{s:s,s:I,s:o,s:o}", "issuer", req->worker->conf->base_url, "epoch",
		(json_int_t)epoch, "jwks", issuer_jwks(certreg_of(req->worker)), "revoked",
		revoked);
	web_header_add(res, "Cache-Control", "no-store");
	return 0;
}
