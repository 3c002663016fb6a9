/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes as the client sees them: made or started with a claim of ours, waited for, and believed
 * only after the evidence was verified here against the profile's trust file. What was verified is
 * kept in the state under "sandbox":
 *   {"id","boot","class","enc":JWK,"sig":JWK,"evidence":digest,"claim":{…},"template",
 *    "used_by":run nonce or null}
 */
#ifndef STRONGROOM_CLIENT_SANDBOX_H
#define STRONGROOM_CLIENT_SANDBOX_H

#include <jansson.h>

#include "client/task.h"

struct sandbox_conf {
	const char *template_id;
	const char *name;
	const char *space;	  /* whose members may look at it; NULL: our tenant's own */
	const json_t *parameters; /* object of texts; numbers are sent as numbers */
	const char *accept;	  /* weakest evidence class that will do */
	long long wait_ms;
};

/* All three end with a ready sandbox whose evidence holds, or: sandbox.failed, client.timeout,
 * evidence.*. */
int sandbox_create(struct task *task, const struct sandbox_conf *conf, struct err *err)
	__attribute__((warn_unused_result));
/* A new boot with a new claim and new machine keys, whether it runs or not. */
int sandbox_restart(struct task *task, const struct sandbox_conf *conf, struct err *err)
	__attribute__((warn_unused_result));
/* The sandbox is as it was verified, or is brought there; a boot that an earlier run used is left
 * behind. */
int sandbox_ensure(struct task *task, const struct sandbox_conf *conf, const char *run_nonce,
	struct err *err) __attribute__((warn_unused_result));

/* What set-sandbox-specs asked for, for tasks that come later. Borrows from the state. */
int sandbox_conf_of(const struct task *task, struct sandbox_conf *ret_conf, struct err *err);

const json_t *sandbox_verified(const struct project *project); /* NULL when there is none */
int sandbox_use(struct task *task, const char *run_nonce, struct err *err);
int sandbox_get(
	struct api *api, const char *id, const char *etag, json_t **ret_sandbox, struct err *err)
	__attribute__((warn_unused_result)); /* with an etag: waits; NULL when nothing changed */
#endif
