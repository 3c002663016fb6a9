/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of /v1/datasets and of the versions of their data. */
#include "services/policy/datasets.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/roles.h"
#include "services/policy/name.h"
#include "services/policy/record.h"
#include "services/policy/store.h"

#define MAX_LABELS 64
#define LABEL_MAX_LEN 256

struct dataset_body {
	const char *name, *direction, *projection;
	json_t *labels;
};

static const struct json_field create_fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct dataset_body, name), true, 63 },
	{ "direction", JSON_FIELD_TEXT, offsetof(struct dataset_body, direction), true, 6 },
	{ "projection", JSON_FIELD_TEXT, offsetof(struct dataset_body, projection), false,
		ID_SIZE },
	{ "labels", JSON_FIELD_OBJECT, offsetof(struct dataset_body, labels), false, MAX_LABELS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static const struct json_field update_fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct dataset_body, name), true, 63 },
	{ "projection", JSON_FIELD_TEXT, offsetof(struct dataset_body, projection), false,
		ID_SIZE },
	{ "labels", JSON_FIELD_OBJECT, offsetof(struct dataset_body, labels), false, MAX_LABELS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct version_body {
	const char *object, *digest;
	long long size, version;
};

static const struct json_field version_fields[] = {
	{ "object", JSON_FIELD_TEXT, offsetof(struct version_body, object), true, ID_SIZE },
	{ "digest", JSON_FIELD_DIGEST, offsetof(struct version_body, digest), true, 0 },
	{ "size", JSON_FIELD_COUNT, offsetof(struct version_body, size), true, 0 },
	{ "version", JSON_FIELD_COUNT, offsetof(struct version_body, version), false, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int check_labels(const json_t *labels, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)labels, name, value) {
		if (strlen(name) > LABEL_MAX_LEN || !json_is_string(value) ||
			json_string_length(value) > LABEL_MAX_LEN)
			return err_set(err, ERR_INVALID, "dataset.bad_label",
				"labels are texts of at most %d bytes", LABEL_MAX_LEN);
	}
	return 0;
}

static int decode(struct web_req *req, const struct json_field *fields,
	struct dataset_body *ret_body, struct err *err)
{
	*ret_body = (struct dataset_body) { .direction = "input" };
	if (json_decode(req->arena, req->json, fields, ret_body, err) < 0 ||
		name_check(ret_body->name, "/name", err) < 0)
		return -1;
	if (strcmp(ret_body->direction, "input") != 0 && strcmp(ret_body->direction, "output") != 0)
		return err_set(
			err, ERR_INVALID, "dataset.bad_direction", "direction is input or output");
	return ret_body->labels ? check_labels(ret_body->labels, err) : 0;
}

static const struct record_kind kind = { "/v1/datasets", "dataset_id", ROLES_DATA,
	&store_dataset_read, store_dataset_get, store_dataset_list, store_dataset_delete };

int dataset_list(struct web_req *req, struct web_res *res, struct err *err)
{
	return record_list(req, res, &kind, err);
}

int dataset_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	return record_delete(req, res, &kind, err);
}

int dataset_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct dataset_body body;
	struct store_dataset item;
	char id[ID_SIZE];
	bool is_done;

	if (record_create(req, res, &kind, &is_done, err) < 0)
		return -1;
	if (is_done)
		return 0;
	if (decode(req, create_fields, &body, err) < 0)
		return -1;
	id_new("dst", id);
	item = (struct store_dataset) { id, body.name, body.direction, body.projection, body.labels,
		0 };
	if (store_dataset_add(req, &item, err) < 0)
		return -1;
	res->status = 201;
	return web_read_answer(req, res, &store_dataset_read, id, err);
}

int dataset_update(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "dataset_id");
	struct dataset_body body;
	struct store_dataset item;
	long long revision;

	if (principal_need_role(req->principal, kind.roles, err) < 0 ||
		decode(req, update_fields, &body, err) < 0 ||
		record_match(req, &kind, &revision, err) < 0)
		return -1;
	item = (struct store_dataset) { id, body.name, NULL, body.projection, body.labels,
		revision };
	if (store_dataset_update(req, &item, err) < 0)
		return -1;
	return web_read_answer(req, res, &store_dataset_read, id, err);
}

int dataset_version_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct version_body body = { 0 };
	struct store_version item;

	if (principal_need_role(req->principal, kind.roles, err) < 0 ||
		json_decode(req->arena, req->json, version_fields, &body, err) < 0)
		return -1;
	if (!id_is(body.object, "obj"))
		return err_set(
			err, ERR_INVALID, "dataset.bad_object", "'object' is not an object's id");
	item = (struct store_version) { web_param(req, "dataset_id"), body.object, body.digest,
		body.size, body.version };
	if (store_version_add(req, &item, err) < 0)
		return -1;
	res->status = 201;
	res->json =
		json_pack("{s:s,s:I}", "id", item.dataset_id, "version", (json_int_t)item.version);
	return 0;
}

int dataset_version_list(struct web_req *req, struct web_res *res, struct err *err)
{
	return store_version_list(req, web_param(req, "dataset_id"), &res->json, err);
}
