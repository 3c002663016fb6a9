/* SPDX-License-Identifier: Apache-2.0 */
/* The index of rows whose manifest has a `subject`, as an image index in pages. The subject itself
 * need not be here: whoever pushes may push it later. */
#include "services/registry-gw/referrers.h"

#include <stdio.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/manifests.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/store.h"

#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define PAGE 1000
#define PAGE_BYTES (MANIFEST_MAX_BYTES - 4096)

static json_t *descriptor_of(const struct db_rows *rows, size_t row)
{
	json_t *descriptor =
		json_pack("{s:s,s:I,s:s}", "mediaType", db_text(rows, row, "media_type"), "size",
			(json_int_t)db_number(rows, row, "size_bytes"), "digest",
			db_text(rows, row, "digest"));

	if (!db_is_null(rows, row, "artifact_type"))
		json_object_set_new(descriptor, "artifactType",
			json_string(db_text(rows, row, "artifact_type")));
	if (!db_is_null(rows, row, "annotations"))
		json_object_set_new(descriptor, "annotations",
			json_loads(db_text(rows, row, "annotations"), 0, NULL));
	return descriptor;
}

/* Percent-encoded, so that any type fits into a URL. */
static const char *encoded(struct web_req *req, const char *text)
{
	char *out = arena_alloc(req->arena, 3 * strlen(text) + 1), *at = out;

	for (; *text; text++)
		at += snprintf(at, 4, "%%%02X", (unsigned char)*text);
	return out;
}

static void add_link(struct web_req *req, struct web_res *res, const struct access *access,
	const struct referrer_page *page, const char *last)
{
	const char *type = page->artifact_type;

	web_header_add(res, "Link",
		arena_printf(req->arena, "</v2/%s/referrers/%s?n=%lld&last=%s%s%s>; rel=\"next\"",
			access->repository, page->subject, page->limit, last,
			type ? "&artifactType=" : "", type ? encoded(req, type) : ""));
}

static void answer(struct web_req *req, struct web_res *res, const struct access *access,
	const struct referrer_page *page, const struct db_rows *rows)
{
	json_t *list = json_array();
	size_t count = db_count(rows);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, descriptor_of(rows, i));
	if (count > 0 && db_bool(rows, count - 1, "more"))
		add_link(req, res, access, page, db_text(rows, count - 1, "digest"));
	if (page->artifact_type)
		web_header_add(res, "OCI-Filters-Applied", "artifactType");
	res->json = json_pack(
		"{s:i,s:s,s:o}", "schemaVersion", 2, "mediaType", INDEX_TYPE, "manifests", list);
	res->content_type = INDEX_TYPE;
}

static int read_page(struct web_req *req, struct referrer_page *ret_page, struct err *err)
{
	const char *last = web_query(req, "last");
	struct referrer_page page = {
		.subject = web_param(req, "digest"),
		.artifact_type = web_query(req, "artifactType"),
		.last = last ? last : "",
		.max_bytes = PAGE_BYTES,
	};

	if (reference_check_digest(page.subject, err) < 0 ||
		reference_page_limit(req, PAGE, &page.limit, err) < 0)
		return -1;
	if (page.limit == 0)
		page.limit = 1;
	*ret_page = page;
	return 0;
}

int referrer_list(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	struct referrer_page page;
	struct access access;

	if (access_check(req, res, ACCESS_PULL, &access, err) < 0 || read_page(req, &page, err) < 0)
		return -1;
	if (access.image) /* an agent has its manifest's digest */
		return err_set(err, ERR_NOT_FOUND, "repository.not_found",
			"there is no repository '%s'", access.repository);
	if (store_referrers(req->worker->db, &access, &page, &rows, err) < 0)
		return -1;
	answer(req, res, &access, &page, rows);
	return 0;
}
