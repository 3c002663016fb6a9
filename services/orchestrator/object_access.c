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

static int not_found(const char *id, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "object.not_found", "there is no object '%s'", id);
}

/* The run that the agent's sandbox is in now; *ret_held false when there is none of its boot. */
static int run_of(struct web_req *req, struct run *ret_run, bool *ret_held, struct err *err)
{
	const struct principal *agent = req->principal;
	struct db *db = req->worker->db;
	const char *id;

	*ret_held = false;
	if (store_run_of_sandbox(db, req->arena, agent->tenant, agent->subject, &id, err) < 0)
		return -1;
	if (!id)
		return 0;
	if (store_run_get(db, req->arena, agent->tenant, id, ret_run, err) < 0)
		return -1;
	*ret_held = object_access_is_holder(req, ret_run);
	return 0;
}

/* Inputs may be another tenant's in the run's space. */
static int read_as_agent(
	struct web_req *req, const char *id, struct object *ret_object, struct err *err)
{
	struct run run;
	bool held;

	if (run_of(req, &run, &held, err) < 0)
		return -1;
	if (!held)
		return not_found(id, err);
	if (store_object_get(req->worker->db, req->arena, DB_SPACES(run.tenant, run.space), id,
		    ret_object, err) < 0)
		return -1;
	return is_output(&run, ret_object) || is_input(&run, ret_object) ? 0 : not_found(id, err);
}

int object_access_read(struct web_req *req, struct object *ret_object, struct err *err)
{
	const char *id = web_param(req, "object_id");
	const struct principal *who = req->principal;

	if (who->kind == WEB_AGENT)
		return read_as_agent(req, id, ret_object, err);
	return store_object_get(req->worker->db, req->arena, DB_SPACES(who->tenant, who->spaces),
		id, ret_object, err);
}

int object_access_own(struct web_req *req, struct object *ret_object, struct err *err)
{
	return store_object_get(req->worker->db, req->arena, DB_TENANT(req->principal->tenant),
		web_param(req, "object_id"), ret_object, err);
}

int object_access_write(struct web_req *req, struct object *ret_object, struct err *err)
{
	const char *id = web_param(req, "object_id");

	if (object_access_read(req, ret_object, err) < 0)
		return -1;
	if (strcmp(ret_object->created_by, req->principal->subject) != 0)
		return not_found(id, err);
	if (strcmp(ret_object->state, "open") != 0)
		return err_set(err, ERR_CONFLICT, "object.closed", "the object is complete");
	return 0;
}
