/* SPDX-License-Identifier: Apache-2.0 */
/* The shared handlers of record.h. */
#include "services/policy/record.h"

#include "lib/auth.h"
#include "lib/json.h"

int record_create(struct web_req *req, struct web_res *res, const struct record_kind *kind,
	bool *ret_done, struct err *err)
{
	const char *route = arena_printf(req->arena, "POST %s", kind->path), *known;

	if (principal_need_role(req->principal, kind->roles, err) < 0 ||
		resource_replayed(req, res, route, &known, err) < 0)
		return -1;
	*ret_done = known;
	return known ? web_read_answer(req, res, kind->read, known, err) : 0;
}

int record_match(struct web_req *req, const struct record_kind *kind, long long *ret_revision,
	struct err *err)
{
	auto_json json_t *record = NULL;

	if (kind->get(req, web_param(req, kind->param), &record, ret_revision, err) < 0)
		return -1;
	return resource_if_match(req, *ret_revision, err);
}

int record_list(
	struct web_req *req, struct web_res *res, const struct record_kind *kind, struct err *err)
{
	struct page page;

	if (resource_page(req, &page, err) < 0)
		return -1;
	return kind->list(req, &page, &res->json, err);
}

int record_delete(
	struct web_req *req, struct web_res *res, const struct record_kind *kind, struct err *err)
{
	long long revision;

	if (principal_need_role(req->principal, kind->roles, err) < 0 ||
		record_match(req, kind, &revision, err) < 0 ||
		kind->remove(req, web_param(req, kind->param), revision, err) < 0)
		return -1;
	res->status = 204;
	return 0;
}
