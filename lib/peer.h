/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to another service's /internal routes, with our assertion. A POST among them only marks
 * what the answer says, and says the same when it is asked again. */
#ifndef STRONGROOM_PEER_H
#define STRONGROOM_PEER_H

#include <jansson.h>

#include "lib/err.h"

struct worker;

enum peer { PEER_CERTREG, PEER_PROVISIONER, PEER_REGISTRY_GW, PEER_POLICY, PEER_ORCHESTRATOR };

/* GET `path` (already encoded). 404 comes back as ERR_NOT_FOUND with the peer's code. */
int peer_get(struct worker *worker, enum peer peer, const char *path, json_t **ret_json,
	struct err *err) __attribute__((warn_unused_result));
/* POST without a body. */
int peer_post(struct worker *worker, enum peer peer, const char *path, json_t **ret_json,
	struct err *err) __attribute__((warn_unused_result));

#endif
