/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes as their owners see them: intents in, state and evidence out. The work is
 * lifecycle.c's. */
#ifndef PROVISIONER_SANDBOXES_H
#define PROVISIONER_SANDBOXES_H

#include "lib/web.h"
#include "services/provisioner/store.h"

web_handler sandbox_create;
web_handler sandbox_list;
web_handler sandbox_show;
web_handler sandbox_internal;  /* certreg and orchestrator ask for the machine keys */
web_handler sandbox_of_tenant; /* certreg and orchestrator ask for the machine keys */

/* In sandbox_change.c. */
web_handler sandbox_start; /* and restart: a new boot from any state at rest */
web_handler sandbox_retry;
web_handler sandbox_cancel;
web_handler sandbox_stop;
web_handler sandbox_delete;

/* The caller's sandbox of the path: sandbox.not_found, also of one that was deleted. */
/* Also another tenant's in one of the caller's spaces: to be looked at. */
int sandbox_read(struct web_req *req, struct sandbox *ret_sandbox, struct err *err);
int sandbox_get(struct web_req *req, struct sandbox *ret_sandbox, struct err *err);
/* As its owner sees it; and as it stands now, 202. */
int sandbox_answer(
	struct web_req *req, struct web_res *res, const struct sandbox *sandbox, struct err *err);
int sandbox_accepted(struct web_req *req, struct web_res *res, const char *id, struct err *err);

#endif
