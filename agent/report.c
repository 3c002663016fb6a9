/* SPDX-License-Identifier: Apache-2.0 */
/* Events carry a number, results a fence: both can be sent again without harm. */
#include "agent/report.h"

#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"

static int post(struct job *job, const char *what, const json_t *body, struct err *err)
{
	auto_free char *path = mem_printf("/v1/agent/runs/%s/%s", job->work.run, what);
	const struct fetch_request req = { .method = "POST", .url = path };
	auto_json json_t *answer = NULL;

	return api_call(job->api, &req, body, &answer, err);
}

int report_step(
	struct job *job, const char *step, const char *state, const char *detail, struct err *err)
{
	auto_json json_t *body =
		json_pack("{s:I,s:I,s:s,s:s,s:s*}", "fence", (json_int_t)job->work.fence, "seq",
			(json_int_t)++job->seq, "step", step, "state", state, "detail", detail);

	return post(job, "events", body, err);
}

int report_result(struct job *job, struct err *err)
{
	const struct job_output *output = &job->output;
	auto_json json_t *body = json_pack("{s:I,s:{s:s,s:s,s:I},s:O}", "fence",
		(json_int_t)job->work.fence, "output", "object", output->object, "digest",
		output->digest, "size", (json_int_t)output->size, "receipt", job->receipt);

	return post(job, "result", body, err);
}

int report_refusal(struct job *job, const struct err *refusal, struct err *err)
{
	auto_json json_t *body =
		json_pack("{s:I,s:{s:s,s:s}}", "fence", (json_int_t)job->work.fence, "refusal",
			"code", refusal->code, "detail", refusal->detail);

	return post(job, "result", body, err);
}
