/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of rules.h. */
#include "services/registry-gw/rules.h"

#include "lib/auth.h"
#include "lib/resource.h"
#include "proto/roles.h"
#include "services/registry-gw/store_rule.h"

static int answer(struct web_req *req, struct web_res *res, struct err *err)
{
	struct rule rule;

	if (store_rule_get(req, req->principal->tenant, &rule, err) < 0)
		return -1;
	res->json = rule_json(&rule);
	resource_etag(req, res, rule.revision);
	return 0;
}

int rule_show(struct web_req *req, struct web_res *res, struct err *err)
{
	return answer(req, res, err);
}

int rule_put(struct web_req *req, struct web_res *res, struct err *err)
{
	struct rule rule, before;

	if (principal_need_role(req->principal, ROLES_RULE, err) < 0 ||
		rule_read(req->arena, req->json, &rule, err) < 0 ||
		store_rule_get(req, req->principal->tenant, &before, err) < 0 ||
		resource_if_match(req, before.revision, err) < 0)
		return -1;
	rule.revision = before.revision;
	if (store_rule_put(req, &rule, err) < 0)
		return -1;
	return answer(req, res, err);
}

int rule_use(struct web_req *req, const struct access *access, const char *digest, struct err *err)
{
	enum rule_mode mode;
	bool is_signed;

	if (store_manifest_signed(req, access, digest, &mode, &is_signed, err) < 0)
		return -1;
	if (mode == RULE_ENCRYPTED_ONLY)
		return err_set(err, ERR_FORBIDDEN, "manifest.not_encrypted",
			"only encrypted images: '%s' has a layer in clear, and came under another "
			"rule",
			digest);
	if (mode == RULE_OPEN || is_signed || access_pushes(req, access->repository))
		return 0;
	return err_set(err, ERR_FORBIDDEN, "manifest.unsigned",
		"'%s' is not encrypted, and no key that the rule names has signed it", digest);
}
