/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of images.h; GET of one is store_image_read. */
#include "services/registry-gw/images.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/service.h"
#include "proto/roles.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/store_image.h"

static int read_filter(const struct web_req *req, struct image_filter *ret_filter, struct err *err)
{
	struct image_filter filter = {
		.repository = web_query(req, "repository"),
		.tag = web_query(req, "tag"),
		.digest = web_query(req, "digest"),
		.encrypted = web_query(req, "encrypted"),
	};

	if (filter.encrypted && strcmp(filter.encrypted, "true") != 0 &&
		strcmp(filter.encrypted, "false") != 0)
		return err_set(err, ERR_INVALID, "image.bad_filter", "encrypted is true or false");
	*ret_filter = filter;
	return 0;
}

int image_list(struct web_req *req, struct web_res *res, struct err *err)
{
	struct image_filter filter;
	struct page page;

	if (resource_page(req, &page, err) < 0 || read_filter(req, &filter, err) < 0)
		return -1;
	return store_image_list(req, &page, &filter, &res->json, err);
}

int image_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	struct access access;
	struct image image;

	if (principal_need_role(req->principal, ROLES_IMAGES, err) < 0 ||
		store_image_get(req, web_param(req, "image_id"), &image, err) < 0 ||
		resource_if_match(req, image.revision, err) < 0)
		return -1;
	access = image_access(req, &image);
	if (store_image_unnamed(req, &image, err) < 0 ||
		store_manifest_delete(req->worker->db, &access, image.digest, conf->grace_ms, err) <
			0)
		return -1;
	res->status = 204;
	return 0;
}
