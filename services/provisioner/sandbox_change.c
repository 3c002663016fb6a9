/* SPDX-License-Identifier: Apache-2.0 */
/* What an owner may ask of a sandbox: each is one event of state.h, and asking twice is asking
 * once. */
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/crash.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/wake.h"
#include "proto/roles.h"
#include "proto/trust.h"
#include "services/provisioner/sandboxes.h"
#include "services/provisioner/state.h"

#define TRIES 8

struct start_body {
	json_t *claim;
};

static const struct json_field start_fields[] = {
	{ "claim", JSON_FIELD_OBJECT, offsetof(struct start_body, claim), true, 8 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int reboot(struct web_req *req, struct web_res *res, const struct sandbox *sandbox,
	enum state_event event, const char *claim, struct err *err)
{
	const char *to = state_after(sandbox->state, event, sandbox->boot + 1);

	if (!to)
		return err_set(
			err, ERR_CONFLICT, "sandbox.busy", "the sandbox is '%s'", sandbox->state);
	crash_point("before", "reboot");
	if (store_reboot(req->worker->db, sandbox, to, claim, err) < 0)
		return -1;
	crash_point("after", "reboot");
	wake_ring(req->worker->wake, "sandbox", sandbox->id);
	return sandbox_accepted(req, res, sandbox->id, err);
}

int sandbox_start(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_free char *claim = NULL;
	struct sandbox sandbox;
	struct start_body body;
	size_t len;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		json_decode(req->arena, req->json, start_fields, &body, err) < 0 ||
		trust_claim_check(body.claim, err) < 0 || sandbox_get(req, &sandbox, err) < 0 ||
		jcs_encode(body.claim, &claim, &len, err) < 0)
		return -1;
	if (strcmp(sandbox.claim, claim) == 0) /* a retry: this boot has that claim already */
		return sandbox_accepted(req, res, sandbox.id, err);
	return reboot(req, res, &sandbox, STATE_START, claim, err);
}

/* The claim of a boot that failed was never answered by machine keys, so the next may have it. */
int sandbox_retry(struct web_req *req, struct web_res *res, struct err *err)
{
	struct sandbox sandbox;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		sandbox_get(req, &sandbox, err) < 0)
		return -1;
	if (sandbox.boot > 1 &&
		(strcmp(sandbox.state, "queued") == 0 || strcmp(sandbox.state, "starting") == 0))
		return sandbox_accepted(req, res, sandbox.id, err);
	return reboot(req, res, &sandbox, STATE_RETRY, sandbox.claim, err);
}

/* The loop or the enrolment may move the sandbox between the look and the change: then it is looked
 * at anew. Where the event does not apply there is nothing to end. */
static int end_sandbox(struct web_req *req, struct web_res *res, enum state_event event,
	const char *code, const char *detail, struct err *err)
{
	struct sandbox sandbox;
	const char *to;
	int tries = 0;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		sandbox_get(req, &sandbox, err) < 0)
		return -1;
	crash_point("before", "end");
	while ((to = state_after(sandbox.state, event, sandbox.boot)) &&
		store_change(req->worker->db, &sandbox, to, code, detail, err) < 0) {
		if (strcmp(err->code, "sandbox.stale") != 0 || ++tries == TRIES)
			return -1;
		err_clear(err);
		if (sandbox_get(req, &sandbox, err) < 0)
			return -1;
	}
	crash_point("after", "end");
	wake_ring(req->worker->wake, "sandbox", sandbox.id);
	return sandbox_accepted(req, res, sandbox.id, err);
}

int sandbox_cancel(struct web_req *req, struct web_res *res, struct err *err)
{
	return end_sandbox(
		req, res, STATE_CANCEL, "sandbox.cancelled", "its start was cancelled", err);
}

int sandbox_stop(struct web_req *req, struct web_res *res, struct err *err)
{
	return end_sandbox(req, res, STATE_STOP, NULL, NULL, err);
}

int sandbox_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	return end_sandbox(req, res, STATE_DELETE, NULL, NULL, err);
}
