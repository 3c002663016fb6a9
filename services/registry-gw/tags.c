/* SPDX-License-Identifier: Apache-2.0 */
/* The registry behind gives all tags at once; pages are cut here: bytewise order, `last` exclusive.
 */
#include "services/registry-gw/tags.h"

#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/access.h"
#include "services/registry-gw/backend.h"

#define MAX_LIST_BYTES (8u * 1024u * 1024u)

static int by_bytes(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* ?n=: -1 without. */
static int read_limit(const struct web_req *req, long long *ret_limit, struct err *err)
{
	const char *text = web_query(req, "n");

	*ret_limit = -1;
	if (!text)
		return 0;
	if (!*text || strlen(text) > 9 || strspn(text, "0123456789") != strlen(text))
		return err_set(err, ERR_INVALID, "tags.bad_page", "n must be a number");
	*ret_limit = strtoll(text, NULL, 10);
	return 0;
}

static int fetch_tags(
	struct web_req *req, const struct access *access, json_t **ret_body, struct err *err)
{
	const struct fetch_request call = {
		.method = "GET",
		.url = arena_printf(req->arena, "/v2/%s/tags/list", access->repository),
		.max_response = MAX_LIST_BYTES,
	};
	auto_response answer = { .status = 0 };

	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	if (answer.status != 200)
		return err_set(err, ERR_NOT_FOUND, "repository.not_found",
			"there is no repository '%s'", access->repository);
	*ret_body = json_parse((const char *)answer.body.data, answer.body.len, err);
	return *ret_body ? 0 : -1;
}

static const char **sorted(struct web_req *req, const json_t *list, size_t *ret_count)
{
	const char **tags = arena_alloc(req->arena, (json_array_size(list) + 1) * sizeof(*tags));
	size_t count = 0;
	json_t *tag;
	size_t i;

	json_array_foreach (list, i, tag) {
		if (json_is_string(tag))
			tags[count++] = json_string_value(tag);
	}
	qsort(tags, count, sizeof(*tags), by_bytes);
	*ret_count = count;
	return tags;
}

static void answer_page(struct web_req *req, struct web_res *res, const struct access *access,
	const json_t *body, long long limit)
{
	const char *last = web_query(req, "last");
	json_t *page = json_array();
	size_t count, taken = 0;
	const char **tags = sorted(req, json_object_get(body, "tags"), &count);

	for (size_t i = 0; i < count; i++) {
		if (last && strcmp(tags[i], last) <= 0)
			continue;
		if (limit >= 0 && (long long)taken == limit) {
			if (limit > 0)
				web_header_add(res, "Link",
					arena_printf(req->arena,
						"</v2/%s/tags/list?n=%lld&last=%s>; rel=\"next\"",
						access->repository, limit, tags[i - 1]));
			break;
		}
		json_array_append_new(page, json_string(tags[i]));
		taken++;
	}
	res->json = json_pack("{s:s, s:o}", "name", access->repository, "tags", page);
}

int tag_list(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_json json_t *body = NULL;
	struct access access;
	long long limit;

	if (access_check(req, res, ACCESS_PULL, &access, err) < 0 ||
		read_limit(req, &limit, err) < 0)
		return -1;
	if (access.image) /* an agent has its manifest's digest */
		return err_set(err, ERR_NOT_FOUND, "repository.not_found",
			"there is no repository '%s'", access.repository);
	if (fetch_tags(req, &access, &body, err) < 0)
		return -1;
	answer_page(req, res, &access, body, limit);
	return 0;
}
