/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest is there when its row is: the row says that these bytes were checked, and what they
 * name. The registry behind gets the bytes before the row is made and loses them after it went, by
 * digest, and no transaction waits for it: what it has without a row is a leftover (store_blob.c)
 * and goes. Tags are rows only. So whatever is served was checked, and a killed push is simply
 * repeated.
 */
#include "services/registry-gw/manifests.h"

#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/digest.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/manifest_backend.h"
#include "services/registry-gw/queries.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/rules.h"
#include "services/registry-gw/store.h"

#define NEARLY_FULL 90 /* percent */

/* --- GET --- */

/* In the log once an hour for each image and who pulls it. */
static void tell_pull(
	const struct web_req *req, const struct access *access, const struct manifest *manifest)
{
	struct registry_conf *conf = req->worker->program;
	const struct audit_act act = {
		.action = "image.pull",
		.on = arena_printf(req->arena, "%s@%s", access->repository, manifest->digest),
		.subject = access->subject,
		.credential = audit_credential(req->principal),
		.roles = req->principal->roles,
	};

	uses_note(&conf->uses, manifest->id);
	audit_often(req->worker, access->tenant, &act, 1, 3600);
}

/* Who may see it, and that it is there, is asked of the rows; the bytes never change. */
static int show(struct web_req *req, struct web_res *res, const struct access *access,
	const struct manifest *manifest, struct err *err)
{
	if ((!manifest->is_free && rule_use(req, access, manifest->digest, err) < 0) ||
		manifest_get_bytes(req, access, manifest->digest, &res->text, &res->text_len, err) <
			0)
		return -1;
	tell_pull(req, access, manifest);
	res->content_type = manifest->media_type;
	web_header_add(res, "Docker-Content-Digest", manifest->digest);
	web_header_add(res, "ETag", arena_printf(req->arena, "\"%s\"", manifest->digest));
	return 0;
}

/* By a tag, or to an agent, which reaches its one image only. */
int manifest_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *reference = web_param(req, "reference");
	struct manifest manifest;
	struct access access;

	if (access_check(req, res, ACCESS_PULL, &access, err) < 0 ||
		reference_check(reference, err) < 0 ||
		access_reaches(req, &access, reference, true, err) < 0 ||
		store_manifest_find(req, &access, reference, &manifest, err) < 0)
		return -1;
	return show(req, res, &access, &manifest, err);
}

static int ask(struct web_req *req, struct web_res *res, const char *params[WEB_READ_PARAMS],
	struct err *err)
{
	const char *reference = web_param(req, "reference");
	struct access access;

	if (access_check(req, res, ACCESS_PULL, &access, err) < 0 ||
		reference_check(reference, err) < 0)
		return -1;
	if (access.image || reference_is_tag(reference))
		return 0;
	params[1] = access.repository;
	params[2] = reference;
	return 3;
}

static int answer(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	const struct access access = access_again(req);
	struct manifest manifest;

	if (store_manifest_row(req, web_param(req, "reference"), rows, &manifest, err) < 0)
		return -1;
	return show(req, res, &access, &manifest, err);
}

const struct web_read manifest_read = { .sql = &SQL_MANIFEST_GET, .answer = answer, .ask = ask };

/* --- PUT --- */

/* Content-Type without parameters. */
static const char *media_type_of(struct web_req *req)
{
	const char *type = web_header(req, "Content-Type");

	return type ? arena_strndup(req->arena, type, strcspn(type, "; \t")) : "";
}

int manifest_read_tags(const struct web_req *req, json_t *tags, struct err *err)
{
	const char *tag;

	for (size_t i = 0; (tag = web_query_at(req, "tag", i)); i++) {
		if (!reference_is_tag(tag))
			return err_set(err, ERR_INVALID, "manifest.bad_reference",
				"'%.80s' is no tag", tag);
		json_array_append_new(tags, json_string(tag));
	}
	return 0;
}

/* The tag of the path, or those of ?tag= beside a digest. */
static int read_tags(
	const struct web_req *req, const char *reference, json_t *tags, struct err *err)
{
	if (reference_is_tag(reference))
		return json_array_append_new(tags, json_string(reference));
	return manifest_read_tags(req, tags, err);
}

void manifest_warn(struct web_req *req, struct web_res *res, const struct manifest *manifest)
{
	if (!manifest->is_new)
		return;
	if (!manifest->encrypted && strcmp(manifest->kind, "signature") != 0)
		web_header_add(res, "Warning",
			arena_printf(req->arena,
				"299 - \"%s is not encrypted: the rule '%s' lets in what whoever "
				"reads the registry's storage reads\"",
				manifest->digest, manifest->rule));
	if (manifest->images_percent >= NEARLY_FULL || manifest->bytes_percent >= NEARLY_FULL)
		web_header_add(res, "Warning",
			arena_printf(req->arena,
				"299 - \"the quota is nearly full: %lld %% of its bytes, %lld %% "
				"of "
				"its images; delete images, or ask the operator for more\"",
				manifest->bytes_percent, manifest->images_percent));
}

static void answer_put(struct web_req *req, struct web_res *res, const struct access *access,
	const struct manifest *manifest, const json_t *tags)
{
	const char *line = "";
	json_t *tag;
	size_t i;

	res->status = 201;
	web_header_add(res, "Location", manifest_path(req, access, manifest->digest));
	web_header_add(res, "Docker-Content-Digest", manifest->digest);
	if (manifest->subject)
		web_header_add(res, "OCI-Subject", manifest->subject);
	json_array_foreach (tags, i, tag)
		line = arena_printf(
			req->arena, "%s%s%s", line, *line ? ", " : "", json_string_value(tag));
	if (*line)
		web_header_add(res, "OCI-Tag", line);
	manifest_warn(req, res, manifest);
}

int manifest_put(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *reference = web_param(req, "reference");
	auto_json json_t *tags = json_array();
	struct manifest_bytes bytes = {
		.data = (const char *)req->body,
		.len = req->body_len,
		.digest = reference_is_tag(reference) ? NULL : reference,
		.tags = tags,
	};
	struct manifest manifest;
	struct access access;

	if (access_check(req, res, ACCESS_PUSH, &access, err) < 0 ||
		reference_check(reference, err) < 0 || read_tags(req, reference, tags, err) < 0)
		return -1;
	bytes.media_type = media_type_of(req);
	if (manifest_add(req, &access, &bytes, &manifest, err) < 0)
		return -1;
	answer_put(req, res, &access, &manifest, tags);
	return 0;
}

/* --- DELETE --- */

int manifest_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	const char *reference = web_param(req, "reference");
	struct db *db = req->worker->db;
	struct access access;

	if (access_check(req, res, ACCESS_DELETE, &access, err) < 0 ||
		reference_check(reference, err) < 0)
		return -1;
	if ((reference_is_tag(reference) ? store_tag_delete(db, &access, reference, err)
					 : store_manifest_delete(db, &access, reference,
						   conf->grace_ms, err)) < 0)
		return -1;
	res->status = 202;
	return 0;
}
