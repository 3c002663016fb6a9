/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/datasets/{id}:fetch-description: the long description is the text that lies at a URL
 * now. It is kept as it is; whoever shows it must not trust it. */
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/fetch_named.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "lib/url.h"
#include "services/policy/config.h"
#include "services/policy/datasets.h"
#include "services/policy/queries.h"
#include "services/policy/store_rows.h"

struct fetch_body {
	const char *url;
};

static const struct json_field fields[] = {
	{ "url", JSON_FIELD_TEXT, offsetof(struct fetch_body, url), true, URL_MAX_LEN },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static bool is_text(const char *data, size_t len)
{
	auto_json json_t *utf8 = json_stringn(data, len);

	return utf8 && !memchr(data, '\0', len);
}

static int fetch_text(struct web_req *req, const char *url, char **ret_text, struct err *err)
{
	const struct policy_conf *conf = req->worker->program;
	const struct fetch_named_conf rules = {
		.ports = conf->fetch_ports,
		.prefixes = conf->fetch_prefixes,
		.ca_file = conf->fetch_ca_file,
		.max_bytes = DATASET_LONG_DESCRIPTION_MAX,
		.timeout_ms = conf->fetch_timeout_ms,
	};
	auto_free char *text = NULL;
	size_t len;

	if (fetch_named(&rules, url, &text, &len, err) < 0)
		return -1;
	if (!is_text(text, len))
		return err_set(
			err, ERR_UNPROCESSABLE, "url.not_text", "what lies there is no text");
	*ret_text = take_ptr(text);
	return 0;
}

int dataset_fetch_description(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "dataset_id"), *tenant = req->principal->tenant;
	const struct audit_act act = { .action = "update", .on = id, .detail = "description" };
	auto_free char *text = NULL;
	struct fetch_body body;
	long long revision;
	int changed;

	if (principal_need_role(req->principal, dataset_kind.roles, err) < 0 ||
		json_decode(req->arena, req->json, fields, &body, err) < 0 ||
		record_match(req, &dataset_kind, id, &revision, err) < 0 ||
		fetch_text(req, body.url, &text, err) < 0)
		return -1;
	changed = audit_run(req->worker->db, DB_TENANT(tenant), &SQL_DATASET_DESCRIBE,
		DB_PARAMS(tenant, id, DB_NUMBER(revision), text), &act, err);
	if (changed < 0 || store_row_changed(changed, err) < 0)
		return -1;
	return record_answer(req, res, &dataset_kind, id, err);
}
