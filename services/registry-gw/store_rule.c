/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls of store_rule.h. */
#include "services/registry-gw/store_rule.h"

#include <stdlib.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"
#include "lib/service.h"
#include "services/registry-gw/queries.h"

static void forget(void *value)
{
	json_decref(value);
}

static const json_t *list_of(struct web_req *req, const struct db_rows *rows, const char *column)
{
	json_t *list = db_count(rows) > 0 ? json_loads(db_text(rows, 0, column), 0, NULL) : NULL;

	if (!list)
		list = json_array();
	arena_defer(req->arena, forget, list);
	return list;
}

int store_rule_get(struct web_req *req, const char *tenant, struct rule *ret_rule, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	struct rule rule = { .max_recipients = OCICRYPT_MAX_RECIPIENTS };

	if (db_run(req->worker->db, DB_TENANT(tenant), &SQL_RULE_GET, DB_PARAMS(tenant), &rows,
		    err) < 0)
		return -1;
	rule.recipients = list_of(req, rows, "required_recipients");
	rule.signers = list_of(req, rows, "signers");
	if (db_count(rows) > 0) {
		(void)rule_mode_of(db_text(rows, 0, "mode"), &rule.mode); /* else the strictest */
		rule.max_recipients = db_number(rows, 0, "max_recipients");
		rule.revision = db_number(rows, 0, "revision");
		rule.updated_by = db_text_in(rows, 0, "updated_by", req->arena);
		rule.updated_at = db_text_in(rows, 0, "updated_at", req->arena);
	}
	*ret_rule = rule;
	return 0;
}

int store_rule_put(struct web_req *req, const struct rule *rule, struct err *err)
{
	const struct principal *who = req->principal;
	auto_free char *recipients = json_dumps(rule->recipients, JSON_COMPACT),
		       *signers = json_dumps(rule->signers, JSON_COMPACT);
	const struct audit_act act = {
		.action = "rule.update",
		.on = who->tenant,
		.detail = arena_printf(req->arena, "%s, %zu recipients, %zu signers",
			rule_mode_name(rule->mode), json_array_size(rule->recipients),
			json_array_size(rule->signers)),
	};
	int changed = audit_run(req->worker->db, DB_TENANT(who->tenant), &SQL_RULE_PUT,
		DB_PARAMS(who->tenant, who->space, rule_mode_name(rule->mode), recipients, signers,
			DB_NUMBER(rule->max_recipients), DB_NUMBER(rule->revision), who->subject),
		&act, err);

	if (changed < 0)
		return -1;
	if (changed > 0)
		return 0;
	return err_set(err, ERR_PRECONDITION_FAILED, "resource.changed",
		"another request changed the rule");
}

int store_children(struct web_req *req, const struct access *access, const char *links,
	const struct rule *rule, struct children *ret_children, struct err *err)
{
	auto_free char *wanted = json_dumps(rule->recipients, JSON_COMPACT);
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(access->tenant), &SQL_MANIFEST_CHILDREN,
		    DB_PARAMS(access->tenant, access->repository, links,
			    DB_NUMBER(rule->max_recipients), wanted),
		    &rows, err) < 0)
		return -1;
	*ret_children = (struct children) {
		.missing = db_text_in(rows, 0, "missing", req->arena),
		.plain = db_text_in(rows, 0, "plain", req->arena),
		.crowded = db_text_in(rows, 0, "crowded", req->arena),
		.unreadable = db_text_in(rows, 0, "unreadable", req->arena),
		.bytes = db_number(rows, 0, "bytes"),
	};
	return 0;
}

int store_manifest_signed(struct web_req *req, const struct access *access, const char *digest,
	enum rule_mode *ret_mode, bool *ret_signed, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(access->tenant), &SQL_MANIFEST_SIGNED,
		    DB_PARAMS(access->tenant, access->repository, digest), &rows, err) < 0)
		return -1;
	*ret_mode = RULE_ENCRYPTED_ONLY;
	(void)rule_mode_of(db_text(rows, 0, "mode"), ret_mode);
	*ret_signed = db_bool(rows, 0, "signed");
	return 0;
}
