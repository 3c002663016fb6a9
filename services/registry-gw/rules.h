/* SPDX-License-Identifier: Apache-2.0 */
/* A tenant's rule (rule.h): its route, and what it says when an image is used. */
#ifndef REGISTRY_GW_RULES_H
#define REGISTRY_GW_RULES_H

#include "services/registry-gw/access.h"

web_handler rule_show, rule_put;

/* Whether a manifest that is not encrypted may be pulled by the rule of now. Who may push here sees
 * it unsigned, since clients look at what they push. manifest.not_encrypted, manifest.unsigned */
int rule_use(struct web_req *req, const struct access *access, const char *digest, struct err *err);

#endif
