/* SPDX-License-Identifier: Apache-2.0 */
/* Which object a request may read or write: members read their tenant's and their spaces', and
 * write their tenant's; agents read their run's inputs, and write their own output. */
#ifndef ORCHESTRATOR_OBJECT_ACCESS_H
#define ORCHESTRATOR_OBJECT_ACCESS_H

#include "services/orchestrator/store.h"

/* Whether the agent is the one that the run was handed to: its sandbox, in that very boot. A token
 * outlives the boot that it was made for by minutes. */
bool object_access_is_holder(const struct web_req *req, const struct run *run);
/* object.not_found for everything that may not be seen. */
int object_access_read(struct web_req *req, struct object *ret_object, struct err *err);
/* Of the caller's own tenant. */
int object_access_own(struct web_req *req, struct object *ret_object, struct err *err);
/* Also object.closed (409), and only for whoever made it. */
int object_access_write(struct web_req *req, struct object *ret_object, struct err *err);

#endif
