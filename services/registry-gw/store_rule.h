/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls for rules and signatures. Texts are the request arena's. */
#ifndef REGISTRY_GW_STORE_RULE_H
#define REGISTRY_GW_STORE_RULE_H

#include "services/registry-gw/rule.h"
#include "services/registry-gw/store.h"

/* The tenant's, or the one that holds without a row. */
int store_rule_get(struct web_req *req, const char *tenant, struct rule *ret_rule, struct err *err);
/* Replaces the one at rule->revision. resource.changed */
int store_rule_put(struct web_req *req, const struct rule *rule, struct err *err);

struct children {
	const char *missing;	/* digests of children of that sort, or NULL */
	const char *plain;	/* not encrypted */
	const char *crowded;	/* encrypted for too many */
	const char *unreadable; /* without a packet that the rule wants */
	long long bytes;	/* of all that the index reaches */
};
/* What an index with these links would name, as the rule sees it. */
int store_children(struct web_req *req, const struct access *access, const char *links,
	const struct rule *rule, struct children *ret_children, struct err *err);

/* Whether the rule of now lets a manifest that is not encrypted be used: its mode, and whether it,
 * or an index that names it, is signed by a key that the rule names. */
int store_manifest_signed(struct web_req *req, const struct access *access, const char *digest,
	enum rule_mode *ret_mode, bool *ret_signed, struct err *err);

#endif
