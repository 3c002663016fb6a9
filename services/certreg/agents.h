/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions of sandboxes (RFC 7523): a JWT by the machine signing key, that buys one token. Which
 * key that is says the provisioner, for a sandbox that is ready; everything that is wrong with an
 * assertion looks like a wrong API key.
 */
#ifndef CERTREG_AGENTS_H
#define CERTREG_AGENTS_H

#include "lib/jose.h"
#include "lib/web.h"
#include "services/certreg/store.h"

#define AGENT_GRANT "urn:ietf:params:oauth:grant-type:jwt-bearer"

struct agent {
	const char *sandbox;
	long long boot;
	char jkt[JOSE_THUMBPRINT_SIZE];
	struct tenant tenant;
};

/* What a verified assertion must say; pure. `now` in Unix seconds. Returns -1 auth.invalid_client.
 */
int agent_claims_check(const json_t *claims, const char *sandbox, const char *audience,
	long long now, struct err *err);
/* The `sub` of an assertion, before anything is verified: only to know whom to ask for. */
const char *agent_subject(struct arena *arena, const char *assertion);

int agent_check(
	struct web_req *req, const char *assertion, struct agent *ret_agent, struct err *err);
/* Claims of an agent token: sub, boot, tenant, tenant_name, space, cnf. */
json_t *agent_claims(const struct agent *agent);

#endif
