/* SPDX-License-Identifier: Apache-2.0 */
/* What was decided about an application holds the policies that name it. */
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/service.h"
#include "services/policy/apps.h"
#include "services/policy/queries.h"

/* A domain without a port is that of https. */
static bool is_approved(const json_t *approved, const char *endpoint)
{
	json_t *domain;
	size_t i;

	json_array_foreach (approved, i, domain) {
		const char *text = json_string_value(domain);
		size_t len = json_string_length(domain);

		if (strncmp(endpoint, text, len) == 0 &&
			strcmp(endpoint + len, strchr(text, ':') ? "" : ":443") == 0)
			return true;
	}
	return false;
}

int app_check_domains(const struct trust_policy *policy, const json_t *approved, struct err *err)
{
	const json_t *egress = json_object_get(policy->doc, "egress");
	json_t *domain;
	size_t i;

	if (!json_text_is(egress, "mode", "direct"))
		return 0;
	json_array_foreach (json_object_get(egress, "domains"), i, domain) {
		if (!is_approved(approved, json_string_value(domain)))
			return err_set(err, ERR_UNPROCESSABLE, "app.domain_not_approved",
				"nobody approved '%s' for the application",
				json_string_value(domain));
	}
	return 0;
}

static int check_row(const struct db_rows *rows, const struct trust_policy *policy, struct err *err)
{
	auto_json json_t *approved = json_loads(db_text(rows, 0, "whitelisted_domains"), 0, NULL);

	if (strcmp(db_text(rows, 0, "repository"), policy->repository) != 0 ||
		strcmp(db_text(rows, 0, "manifest"), policy->manifest_digest) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "app.wrong_image",
			"the policy's image is not that of the application '%s'",
			db_text(rows, 0, "name"));
	if (strcmp(db_text(rows, 0, "build_status"), "WHITELISTED") != 0)
		return err_set(err, ERR_UNPROCESSABLE, "app.build_not_approved",
			"nobody approved the image of the application '%s'",
			db_text(rows, 0, "name"));
	return app_check_domains(policy, approved, err);
}

int app_check_policy(struct web_req *req, const struct trust_policy *policy, struct err *err)
{
	const char *id = json_text(json_object_get(policy->doc, "app"), "id");
	const struct principal *who = req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (!id)
		return 0;
	if (db_run(req->worker->db, DB_SPACES(who->tenant, who->spaces), &SQL_APP_BY_ID,
		    DB_PARAMS(who->tenant, id), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_UNPROCESSABLE, "app.not_found",
			"there is no application '%s', or it is shared with none of the caller's "
			"spaces",
			id);
	return check_row(rows, policy, err);
}
