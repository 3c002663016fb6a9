/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver `tofu`: a machine of a cloud, made by OpenTofu from an operator's module. A way up is
 * the runs init, plan, show (whose plan is checked), apply of exactly that plan, output; the way
 * down the same with a plan of removal. Which step is next, and which run is under way for it,
 * stands in the row before anything starts, so whoever looks next goes on: he collects the run
 * that ended, waits for the one that lives, begins anew the one that nobody saw the end of.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/crash.h"
#include "lib/digest.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/store_tofu.h"
#include "services/provisioner/tofu_files.h"
#include "services/provisioner/tofu_job.h"
#include "services/provisioner/tofu_plan.h"
#include "services/provisioner/tofu_run.h"
#include "services/provisioner/vm_files.h"

#define MOST_ATTEMPTS 5
#define LONGEST_WAIT_MS 600000ll
#define SLACK_MS 60000ll
#define FIRST_LOOK_MS 50
#define LAST_LOOK_MS 1000
#define SECRET_MAX 128u

static bool is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool is_up(const struct tofu_job *job)
{
	return is(job->row.goal, "up");
}

int tofu_job_set(struct tofu_job *job, const char *step, long long wait_ms, struct err *err)
{
	job->row.step = step;
	job->row.running = NULL;
	job->row.wait_ms = wait_ms;
	job->row.is_due = wait_ms == 0;
	crash_point("before", step);
	if (store_tofu_set(job->worker->db, job->sandbox, &job->row, err) < 0)
		return -1;
	crash_point("after", step);
	return 0;
}

/* --- beginning a run --- */

static int read_secret(const struct driver_place *place, char ret_secret[SECRET_MAX + 1])
{
	struct buf text = BUF_INIT(SECRET_MAX);
	int r = buf_read_file(&text, place->secret, NULL);

	if (r == 0)
		snprintf(ret_secret, SECRET_MAX + 1, "%s", text.len ? (char *)text.data : "");
	buf_wipe(&text);
	return r;
}

static int make_files(const struct tofu_job *job, struct err *err)
{
	char secret[SECRET_MAX + 1] = "";
	const struct tofu_boot boot = { job->sandbox, is_up(job) ? secret : NULL,
		job->worker->conf->base_url };
	int r;

	if (vm_files_folder(job->place->folder, 0711, err) < 0)
		return -1;
	(void)read_secret(job->place, secret);
	r = tofu_files_make(job->place, &boot, err);
	explicit_bzero(secret, sizeof(secret));
	return r;
}

/* Another plan than the one that was checked must not be applied. */
static int plan_digest(const struct tofu_job *job, char ret_digest[DIGEST_TEXT_SIZE])
{
	auto_free char *path = mem_printf("%s/working/plan.out", job->place->folder);
	struct stat info;

	if (lstat(path, &info) < 0 || !S_ISREG(info.st_mode))
		return -1;
	return digest_file(path, ret_digest, NULL, NULL);
}

static int check_digest(const struct tofu_job *job, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];

	if (plan_digest(job, digest) == 0 && job->row.plan_digest &&
		is(digest, job->row.plan_digest))
		return 0;
	return err_set(
		err, ERR_CONFLICT, "tofu.plan_changed", "the plan is not the one that was checked");
}

#define MOST_ARGS 12u

static void make_args(
	const struct tofu_job *job, const char *what, const char *argv[MOST_ARGS], char **ret_text)
{
	static const char *const table[][MOST_ARGS] = {
		{ "init", "-json", "-input=false", "-reconfigure", "-lockfile=readonly" },
		{ "plan", "-json", "-input=false", "-lock-timeout=150s", "-out=plan.out" },
		{ "show", "-json", "plan.out" },
		{ "apply", "-json", "-input=false", "-lock-timeout=150s", "plan.out" },
		{ "output", "-json" },
		{ "refresh", "-json", "-input=false", "-lock-timeout=150s", "-refresh-only",
			"-detailed-exitcode" },
		{ "push", "push", "-lock-timeout=150s", "errored.tfstate" },
	};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (is(table[i][0], what))
			memcpy(argv, table[i], sizeof(table[i]));
	}
	while (argv[n])
		n++;
	if (is(what, "plan") && !is_up(job))
		argv[n++] = "-destroy";
	if (is(what, "init") && *job->place->conf->tofu_plugins)
		argv[n++] = *ret_text =
			mem_printf("-plugin-dir=%s", job->place->conf->tofu_plugins);
	if (is(what, "refresh"))
		argv[0] = "plan";
	if (is(what, "push"))
		argv[0] = "state";
}

/* Of those with a provider at work; the others need none of the cloud's secrets. */
static bool asks_cloud(const char *what)
{
	return is(what, "plan") || is(what, "apply") || is(what, "refresh");
}

static int run(struct tofu_job *job, const char *what, struct err *err)
{
	const struct provisioner_conf *conf = job->place->conf;
	char *secrets[TOFU_MOST_SECRETS] = { NULL };
	const char *argv[MOST_ARGS] = { NULL };
	auto_free char *plugins = NULL;
	struct tofu_run start;
	int r;

	job->row.wait_ms = conf->tofu_limit_ms + conf->tofu_grace_ms + SLACK_MS;
	crash_point("before", "begin");
	if (store_tofu_begin(job->worker->db, job->sandbox, &job->row, what, err) < 0)
		return -1;
	crash_point("after", "begin");
	make_args(job, what, argv, &plugins);
	start = (struct tofu_run) { job->row.run, argv, (const char *const *)secrets };
	r = asks_cloud(what)
		    ? tofu_files_secrets(job->place, job->sandbox->template_id, secrets, err)
		    : 0;
	if (r == 0)
		r = tofu_run_start(job->place, &start, err);
	tofu_files_wipe(secrets);
	crash_point("after", "spawn");
	return r;
}

/* What cannot even begin is a failure as any other. */
static int begin(struct tofu_job *job, struct err *err)
{
	bool pushes = tofu_files_has(job->place, "errored.tfstate");
	struct err why = { .kind = ERR_NONE };
	int r = 0;

	if (!pushes && !tofu_files_has(job->place, "main.tf.json"))
		job->row.step = "init"; /* another host began it */
	if (is(job->row.step, "init"))
		r = make_files(job, &why);
	if (r == 0 && is(job->row.step, "apply") && !pushes)
		r = check_digest(job, &why);
	if (r == 0)
		r = run(job, pushes ? "push" : job->row.step, &why);
	if (r == 0)
		return 0;
	log_failure("a run of tofu could not begin", &why);
	return tofu_job_failed(job, why.code, why.detail, err);
}

/* --- its end --- */

int tofu_job_failed(struct tofu_job *job, const char *code, const char *detail, struct err *err)
{
	long long wait_ms = 1000ll << (job->row.attempts < 10 ? job->row.attempts : 10);
	const char *again =
		is(job->row.step, "apply") || is(code, "tofu.plan_stale") ? "plan" : job->row.step;

	job->row.attempts++;
	log_warn("tofu failed", "sandbox", job->sandbox->id, "goal", job->row.goal, "step",
		job->row.step, "code", code, "detail", detail, NULL);
	if (wait_ms > LONGEST_WAIT_MS)
		wait_ms = LONGEST_WAIT_MS;
	if (!is_up(job)) /* whatever it takes: else the machine would cost for ever */
		return tofu_job_set(job, job->row.attempts > 1 ? "init" : again, wait_ms, err);
	if (tofu_is_passing(code) && job->row.attempts < MOST_ATTEMPTS)
		return tofu_job_set(job, again, wait_ms, err);
	job->row.code = arena_strdup(job->arena, code);
	job->row.detail = arena_strdup(job->arena, detail);
	return tofu_job_set(job, "failed", 0, err);
}

static int advance(struct tofu_job *job, const char *step, struct err *err)
{
	job->row.attempts = 0;
	return tofu_job_set(job, step, is(step, "done") ? job->place->conf->tofu_drift_ms : 0, err);
}

static int end_show(struct tofu_job *job, struct err *err)
{
	auto_buf plan = BUF_INIT(TOFU_SHOW_BYTES);
	auto_json json_t *types = NULL;
	struct err why = { .kind = ERR_NONE };
	char digest[DIGEST_TEXT_SIZE];
	int r = tofu_run_output(job->place, "out", &plan);

	if (r < 0)
		err_set(&why, ERR_UPSTREAM, "tofu.bad_plan", "the plan is too large");
	if (r == 0)
		r = tofu_files_types(job->place, job->sandbox->template_id, &types, &why);
	if (r == 0)
		r = tofu_plan_check((const char *)plan.data, plan.len, types, !is_up(job), &why);
	if (r == 0 && plan_digest(job, digest) < 0)
		r = err_set(&why, ERR_UPSTREAM, "tofu.bad_plan", "there is no saved plan");
	if (r < 0)
		return tofu_job_failed(job, why.code, why.detail, err);
	job->row.plan_digest = arena_strdup(job->arena, digest);
	return advance(job, "apply", err);
}

static int end_output(struct tofu_job *job, struct err *err)
{
	auto_buf text = BUF_INIT(TOFU_LINE_BYTES);
	auto_json json_t *outputs = NULL;
	const char *instance;

	if (tofu_run_output(job->place, "out", &text) == 0)
		outputs = json_loadb((const char *)text.data, text.len, 0, NULL);
	instance = json_text(json_object_get(outputs, "instance_id"), "value");
	if (!instance || !*instance)
		return tofu_job_failed(
			job, "tofu.output_failed", "the module has no output instance_id", err);
	log_info("tofu made a machine", "sandbox", job->sandbox->id, "instance", instance, NULL);
	return advance(job, "done", err);
}

/* 2: something is not as it was. A machine that is gone is; the rest is its operator's business. */
static int end_refresh(struct tofu_job *job, const struct tofu_result *result,
	const struct tofu_stream *said, struct err *err)
{
	if (result->status != 0 && result->status != 2)
		log_warn("tofu could not look after a machine", "sandbox", job->sandbox->id,
			"detail", said->summary, NULL);
	if (result->status == 2)
		log_warn("a machine was changed behind our back", "sandbox", job->sandbox->id,
			said->gone ? "gone" : "changed", said->doing, NULL);
	if (result->status == 2 && said->gone > 0) {
		job->row.code = "sandbox.died";
		job->row.detail = "the machine is no longer in its cloud";
		return tofu_job_set(job, "failed", 0, err);
	}
	return advance(job, "done", err);
}

static int end_well(struct tofu_job *job, const char *what, struct err *err)
{
	if (is(what, "show"))
		return end_show(job, err);
	if (is(what, "output"))
		return end_output(job, err);
	if (is(what, "init"))
		return advance(job, "plan", err);
	if (is(what, "plan"))
		return advance(job, "show", err);
	if (is(what, "push")) {
		if (tofu_files_drop(job->place, "errored.tfstate", err) < 0)
			return -1;
		return tofu_job_set(
			job, is(job->row.step, "apply") ? "plan" : job->row.step, 0, err);
	}
	/* an apply: the plan holds what was secret for the guest */
	if (tofu_files_drop(job->place, "plan.out", err) < 0)
		return -1;
	return advance(job, is_up(job) ? "output" : "done", err);
}

static int end_badly(struct tofu_job *job, const struct tofu_result *result,
	const struct tofu_stream *said, struct err *err)
{
	const char *what = job->row.running;
	char detail[TOFU_TEXT_SIZE * 2 + 16];

	if (result->end == TOFU_LOST || (result->status < 0 && !result->is_stopped))
		return tofu_job_failed(job, "tofu.run_lost", "nobody saw how it ended", err);
	if (result->is_stopped)
		return tofu_job_failed(
			job, "tofu.timed_out", "it was stopped, or took too long", err);
	snprintf(detail, sizeof(detail), "%s%s%s", said->summary, *said->address ? ": " : "",
		said->address);
	return tofu_job_failed(job, tofu_code_of(what, said), detail, err);
}

static int ended(struct tofu_job *job, const struct tofu_result *result, struct err *err)
{
	const char *what = job->row.running;
	struct tofu_stream said;
	bool speaks = asks_cloud(what) || is(what, "init"), is_well;

	tofu_job_listen(job, &said, speaks, true);
	is_well = result->end == TOFU_DONE && result->status == 0 && !result->is_stopped &&
		  (!speaks || (said.is_versioned && !said.is_other));
	crash_point("before", "collected");
	if (is(what, "refresh") && result->end == TOFU_DONE)
		return end_refresh(job, result, &said, err);
	if (is(what, "refresh"))
		return advance(job, "done", err);
	return is_well ? end_well(job, what, err) : end_badly(job, result, &said, err);
}

/* Until the next look at what began a while ago: that is often soon over, or takes minutes. */
static int look_ms(const struct tofu_job *job)
{
	long long ms = job->row.age_ms / 4;

	if (ms < FIRST_LOOK_MS)
		return FIRST_LOOK_MS;
	return ms < LAST_LOOK_MS ? (int)ms : LAST_LOOK_MS;
}

/* Positive, as driver_pursue(): it lives. `is_wanted`: what it does is still wanted. */
static int collect(struct tofu_job *job, bool is_wanted, struct err *err)
{
	struct tofu_result result;
	struct tofu_stream said;

	if (tofu_run_result(job->place, job->row.run, &result, err) < 0)
		return -1;
	if (result.end != TOFU_LIVES)
		return ended(job, &result, err);
	if (!is_wanted)
		tofu_run_stop(job->place);
	if (job->row.is_due) /* its runner should have ended it long ago, and is dead */
		tofu_run_kill(job->place);
	tofu_job_listen(job, &said, asks_cloud(job->row.running), false);
	return tofu_job_beat(job, &said, err) < 0 ? -1 : look_ms(job);
}

/* --- what is wanted --- */

/* A goal that is not the row's is its new beginning. */
static int turn(struct tofu_job *job, enum driver_goal goal, struct err *err)
{
	bool is_known = job->row.has_state || tofu_files_has(job->place, "errored.tfstate");

	job->row.attempts = 0;
	job->row.plan_digest = NULL;
	if (goal != DRIVER_UP) {
		job->row.goal = "down";
		return tofu_job_set(job, is_known ? "init" : "done", 0, err);
	}
	job->row.goal = "up";
	job->row.boot = job->sandbox->boot;
	job->row.code = job->row.detail = NULL;
	return tofu_job_set(job, "init", 0, err);
}

/* Whether the row is about that; a boot that is on its way down does not come up any more. */
static bool is_about(const struct tofu_job *job, enum driver_goal goal)
{
	if (goal != DRIVER_UP)
		return goal == DRIVER_QUIET ? false : !is_up(job);
	return job->row.boot == job->sandbox->boot;
}

static void say(const struct tofu_job *job, struct driver_state *ret_state)
{
	snprintf(
		ret_state->code, sizeof(ret_state->code), "%s", job->row.code ? job->row.code : "");
	snprintf(ret_state->detail, sizeof(ret_state->detail), "%s",
		job->row.detail ? job->row.detail : "");
}

static int towards(struct tofu_job *job, enum driver_goal goal, struct driver_state *ret_state,
	struct err *err)
{
	if (!is_about(job, goal) && turn(job, goal, err) < 0)
		return -1;
	if (goal == DRIVER_UP && (!is_up(job) || is(job->row.step, "failed"))) {
		say(job, ret_state);
		return 0;
	}
	if (is(job->row.step, "done")) {
		if (is_up(job) && job->row.is_due && job->place->conf->tofu_drift_ms > 0)
			return run(job, "refresh", err);
		return 0;
	}
	if (is_up(job) && store_tofu_prolong(job->worker->db, job->sandbox, err) < 0)
		return -1;
	if (!job->row.is_due)
		return look_ms(job);
	return begin(job, err) < 0 ? -1 : FIRST_LOOK_MS;
}

static int tofu_pursue(const struct driver_place *place, struct worker *worker,
	const struct sandbox *sandbox, enum driver_goal goal, struct driver_state *ret_state,
	struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	struct tofu_job job = {
		.worker = worker, .place = place, .sandbox = sandbox, .arena = arena
	};
	int r = 0;

	if (store_tofu_row(worker->db, arena, sandbox, &job.row, err) < 0)
		return -1;
	if (job.row.running) {
		bool looks =
			is(job.row.running, "refresh") && goal == DRIVER_UP && is_about(&job, goal);

		r = collect(&job, is_about(&job, goal), err);
		if (r != 0)
			return r > 0 && looks ? 0 : r;
	}
	if (goal == DRIVER_QUIET)
		return 0;
	r = towards(&job, goal == DRIVER_GONE ? DRIVER_DOWN : goal, ret_state, err);
	if (r == 0 && goal == DRIVER_GONE)
		return store_tofu_forget(worker->db, sandbox, err);
	return r;
}

/* The rest is done step by step. */
static int tofu_start(
	const struct driver_place *place, const struct driver_spec *spec, struct err *err)
{
	const char *secret = spec->enrolment_secret;

	if (!*place->conf->tofu)
		return err_set(err, ERR_UNAVAILABLE, "tofu.not_configured",
			"this installation has no tofu");
	if (vm_files_folder(place->folder, 0711, err) < 0 ||
		buf_replace_file(place->console, "", 0, 0600, err) < 0)
		return -1;
	return buf_write_file(place->secret, secret, strlen(secret), 0600, err);
}

static int tofu_stop(const struct driver_place *place, struct err *err)
{
	bool lives;

	if (tofu_run_lives(place, &lives, err) < 0)
		return -1;
	return lives ? err_set(err, ERR_UNAVAILABLE, "tofu.lives", "a run of tofu still lives") : 0;
}

/* Of what no row knows of any more: this file is all that tells of a machine in its cloud. */
static int tofu_forget(const struct driver_place *place, struct err *err)
{
	return tofu_files_has(place, "errored.tfstate")
		       ? err_set(err, ERR_UPSTREAM, "tofu.state_not_saved",
				 "'%s' holds a state that was never saved", place->folder)
		       : 0;
}

const struct driver driver_tofu = {
	.name = "tofu",
	.folder = "tofu",
	.secret = "secret",
	.console = "console.log",
	.start = tofu_start,
	.stop = tofu_stop,
	.forget = tofu_forget,
	.pursue = tofu_pursue,
};
