/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a run, in a table, and what becomes of a failure. */
#include "agent/job.h"

#include "agent/egress.h"
#include "agent/execute.h"
#include "agent/inputs.h"
#include "agent/log_head.h"
#include "agent/managed.h"
#include "agent/output.h"
#include "agent/pull.h"
#include "agent/report.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

/* What is to be in the receipt is seen before anything is opened. */
static int verify_step(struct job *job, struct err *err)
{
	if (verify_work(job->verify, job->arena, &job->work, job->started, &job->policy,
		    &job->order, err) < 0)
		return -1;
	return log_head_fetch(job->api->edge, &job->log_head, err);
}

static int grants_step(struct job *job, struct err *err)
{
	return secrets_open(job->verify->machine->enc, &job->policy, &job->order, job->work.grants,
		&job->secrets, err);
}

static const struct step {
	const char *name;
	int (*run)(struct job *job, struct err *err);
} steps[] = {
	{ "verify", verify_step },
	{ "grants", grants_step },
	{ "pull", pull_image },
	{ "input", inputs_fetch },
	{ "execute", execute_app },
	{ "output", output_deliver },
};

/* `refusal` is what the step failed of, or why the orchestrator could not be told of it. */
static int run_step(struct job *job, const struct step *step, struct err *refusal)
{
	auto_free char *detail = NULL;
	struct err failure = { 0 };

	if (report_step(job, step->name, "started", NULL, refusal) < 0)
		return -1;
	if (step->run(job, refusal) == 0)
		return report_step(job, step->name, "done", NULL, refusal);
	detail = mem_printf("%s: %s", refusal->code, refusal->detail);
	if (!work_is_lost(refusal) && report_step(job, step->name, "failed", detail, &failure) < 0)
		log_failure("a failed step was not reported", &failure);
	return -1;
}

static int run_steps(struct job *job, struct err *refusal)
{
	if (job_folders(job, refusal) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (run_step(job, &steps[i], refusal) < 0)
			return -1;
	}
	return 0;
}

static int refuse(struct job *job, const struct err *refusal)
{
	struct err err = { 0 };

	log_failure("run refused", refusal);
	if (report_refusal(job, refusal, &err) == 0)
		return 0;
	log_failure("the refusal was not taken", &err);
	return -1;
}

static int conclude(struct job *job, int rc, const struct err *refusal)
{
	struct err err = { 0 };

	if (rc < 0 && !work_is_lost(refusal))
		return refuse(job, refusal);
	if (rc < 0) { /* nobody waits for a result */
		log_failure("run given up", refusal);
		return 0;
	}
	if (report_result(job, &err) < 0) {
		log_failure("the result was not taken", &err);
		return -1;
	}
	log_info("run finished", "run", job->work.run, NULL);
	return 0;
}

/* Work of another shape, such as services newer than this agent hand out: its run ends here, if it
 * says which one it is. */
static int refuse_unknown(struct job *job, const json_t *json, const struct err *why)
{
	struct err refusal = { 0 };

	log_failure("work not understood", why);
	if (work_identify(json, &job->work) < 0)
		return -1;
	err_set(&refusal, ERR_UNPROCESSABLE, "work.not_understood",
		"this agent (%s) does not know work of that shape", AGENT_VERSION);
	return refuse(job, &refusal);
}

static void release(struct job *job)
{
	managed_free(job->managed);
	egress_free(job->egress);
	secrets_wipe(&job->secrets);
	if (job->has_result)
		jail_result_release(&job->result);
	job_folders_remove(job);
	json_decref(job->receipt);
	json_decref(job->log_head);
}

int job_run(const struct agent_boot *boot, struct verify *verify, struct api *api, json_t *json)
{
	auto_arena struct arena *arena = arena_new();
	struct job job = { .boot = boot,
		.verify = verify,
		.api = api,
		.arena = arena,
		.started = clock_unix_ms() / 1000 };
	struct err err = { 0 };
	int rc;

	if (work_decode(arena, json, &job.work, &err) < 0)
		return refuse_unknown(&job, json, &err);
	log_info("run taken", "run", job.work.run, NULL);
	rc = run_steps(&job, &err);
	rc = conclude(&job, rc, &err);
	release(&job);
	return rc;
}
