/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions of sandboxes (RFC 7523): a JWT by the machine signing key, that buys one token. Which
 * key that is says the provisioner, for a sandbox that is ready. What is wrong with the assertion
 * by itself has a code of its own (assertions.h); what only we know looks like a wrong API key.
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

/* The `sub` of an assertion's claims if it is a sandbox's id, or NULL. */
const char *agent_subject(struct arena *arena, const json_t *claims);

int agent_check(
	struct web_req *req, const char *assertion, struct agent *ret_agent, struct err *err);
/* Claims of an agent token: sub, boot, tenant, tenant_name, space, cnf. */
json_t *agent_claims(const struct agent *agent);

#endif
