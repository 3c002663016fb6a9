/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of tags: bytewise order, `last` exclusive. */
#include "services/registry-gw/tags.h"

#include "lib/service.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/store.h"

#define PAGE 1000

/* One row more than the page has says that there is a next one. */
static void answer_page(struct web_req *req, struct web_res *res, const struct access *access,
	const struct db_rows *rows, size_t limit)
{
	size_t count = db_is_null(rows, 0, "name") ? 0 : db_count(rows);
	size_t taken = count < limit ? count : limit;
	json_t *page = json_array();

	for (size_t i = 0; i < taken; i++)
		json_array_append_new(page, json_string(db_text(rows, i, "name")));
	if (taken > 0 && count > taken)
		web_header_add(res, "Link",
			arena_printf(req->arena, "</v2/%s/tags/list?n=%zu&last=%s>; rel=\"next\"",
				access->repository, limit, db_text(rows, taken - 1, "name")));
	res->json = json_pack("{s:s, s:o}", "name", access->repository, "tags", page);
}

int tag_list(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *last = web_query(req, "last");
	auto_rows struct db_rows *rows = NULL;
	struct access access;
	long long limit;

	if (access_check(req, res, ACCESS_PULL, &access, err) < 0 ||
		reference_page_limit(req, PAGE, &limit, err) < 0)
		return -1;
	if (access.image) /* an agent has its manifest's digest */
		return err_set(err, ERR_NOT_FOUND, "repository.not_found",
			"there is no repository '%s'", access.repository);
	if (store_tag_page(req->worker->db, &access, last ? last : "", limit + 1, &rows, err) < 0)
		return -1;
	answer_page(req, res, &access, rows, (size_t)limit);
	return 0;
}
