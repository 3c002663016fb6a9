/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/runs/{id}/events. */
#include "services/orchestrator/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "services/orchestrator/store.h"

#define STREAM_MS (15 * 60 * 1000)

static int after_of(const struct web_req *req, long long *ret_after, struct err *err)
{
	const char *text = web_query(req, "after");
	char *end;

	*ret_after = req->last_event_id;
	if (!text || req->last_event_id > 0)
		return 0;
	errno = 0;
	*ret_after = strtoll(text, &end, 10);
	if (errno || end == text || *end || *ret_after < 0)
		return err_set(err, ERR_INVALID, "page.bad_token", "after is the id of an event");
	return 0;
}

static bool wants_stream(const struct web_req *req)
{
	const char *accept = web_header(req, "Accept");

	return accept && strstr(accept, "text/event-stream");
}

/* Adds what came since; ends the stream behind the run's last event. */
static void stream(struct web_req *req, struct web_res *res, const struct run *run, json_t *events)
{
	json_t *event;
	size_t i;

	res->sse = true;
	json_array_foreach (events, i, event) {
		if (!web_event(req, res, json_integer_value(json_object_get(event, "id")),
			    json_text(event, "type"), json_incref(event)))
			break;
	}
	if (!run_is_final(run->state) || json_array_size(events) > 0)
		web_park(req, res, run->id, STREAM_MS);
}

int run_events(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_json json_t *events = NULL;
	struct run run;
	long long after;

	if (after_of(req, &after, err) < 0 ||
		store_run_read(req, web_param(req, "run_id"), &run, err) < 0 ||
		store_run_events(req->worker->db, &run, after, &events, err) < 0)
		return -1;
	if (wants_stream(req))
		stream(req, res, &run, events);
	else
		res->json = json_pack("{s:O,s:n}", "items", events, "next_page_token");
	return 0;
}
