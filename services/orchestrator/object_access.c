/* SPDX-License-Identifier: Apache-2.0 */
/* The access rules of object_access.h. */
#include "services/orchestrator/object_access.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"

bool object_access_is_holder(const struct web_req *req, const struct run *run)
{
	const json_t *boot = json_object_get(req->principal->claims, "boot");

	return strcmp(run->sandbox, req->principal->subject) == 0 && json_is_integer(boot) &&
	       json_integer_value(boot) == run->boot;
}

static bool is_input(const struct run *run, const struct object *object)
{
	auto_json json_t *inputs = json_loads(run->inputs, 0, NULL);
	json_t *input;
	size_t i;

	json_array_foreach (inputs, i, input) {
		if (strcmp(json_text(input, "object"), object->id) == 0)
			return true;
	}
	return false;
}

/* Made for this run under this fence: what an earlier hand-over of it left is not the agent's. */
static bool is_output(const struct run *run, const struct object *object)
{
	return object->run && strcmp(object->run, run->id) == 0 && object->fence == run->fence;
}

/* What belongs to the run that the agent's sandbox is in now. */
static int is_of_run(
	struct web_req *req, const struct object *object, bool *ret_is, struct err *err)
{
	struct db *db = req->worker->db;
	const char *run_id;
	struct run run;

	*ret_is = false;
	if (store_run_of_sandbox(db, req->arena, req->principal->tenant, req->principal->subject,
		    &run_id, err) < 0)
		return -1;
	if (!run_id)
		return 0;
	if (store_run_get(db, req->arena, req->principal->tenant, run_id, &run, err) < 0)
		return -1;
	*ret_is = object_access_is_holder(req, &run) &&
		  (is_output(&run, object) || is_input(&run, object));
	return 0;
}

int object_access_read(struct web_req *req, struct object *ret_object, struct err *err)
{
	const char *id = web_param(req, "object_id");
	bool allowed = true;

	if (store_object_get(
		    req->worker->db, req->arena, req->principal->tenant, id, ret_object, err) < 0)
		return -1;
	if (req->principal->kind == WEB_AGENT && is_of_run(req, ret_object, &allowed, err) < 0)
		return -1;
	return allowed ? 0
		       : err_set(err, ERR_NOT_FOUND, "object.not_found", "there is no object '%s'",
				 id);
}

int object_access_write(struct web_req *req, struct object *ret_object, struct err *err)
{
	const char *id = web_param(req, "object_id");

	if (object_access_read(req, ret_object, err) < 0)
		return -1;
	if (strcmp(ret_object->created_by, req->principal->subject) != 0)
		return err_set(
			err, ERR_NOT_FOUND, "object.not_found", "there is no object '%s'", id);
	if (strcmp(ret_object->state, "open") != 0)
		return err_set(err, ERR_CONFLICT, "object.closed", "the object is complete");
	return 0;
}
