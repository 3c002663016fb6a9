/* SPDX-License-Identifier: Apache-2.0 */
/* From the policy's JSON to the jail's plain C. */
#include "agent/execute.h"

#include "lib/json.h"

#define MAX_STDOUT (4 << 20)

static const char *const *argv_of(struct arena *arena, const json_t *process)
{
	const json_t *list = json_object_get(process, "argv");
	const char **argv = arena_alloc(arena, (json_array_size(list) + 1) * sizeof(*argv));
	json_t *word;
	size_t i;

	json_array_foreach (list, i, word)
		argv[i] = json_string_value(word);
	return argv;
}

static const char *const *env_of(struct arena *arena, const json_t *process)
{
	json_t *map = json_object_get(process, "env"), *value;
	const char **env = arena_alloc(arena, (json_object_size(map) + 1) * sizeof(*env));
	const char *name;
	size_t n = 0;

	json_object_foreach (map, name, value)
		env[n++] = arena_printf(arena, "%s=%s", name, json_string_value(value));
	return env;
}

static long long number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* A policy may allow no output at all; a tmpfs cannot be that small. */
static long long at_least_one(long long value)
{
	return value > 0 ? value : 1;
}

static struct jail_limits limits_of(const json_t *limits)
{
	return (struct jail_limits) {
		.memory_bytes = number(limits, "memory_bytes"),
		.pids = number(limits, "pids"),
		.wall_ms = number(limits, "wall_seconds") * 1000,
		.cpu_seconds = number(limits, "cpu_seconds"),
		.output_bytes = at_least_one(number(limits, "output_bytes")),
		.output_files = at_least_one(number(limits, "output_files")),
		.stdout_bytes = MAX_STDOUT,
	};
}

/* Only an answer that says so ends the app: the edge may be restarting. */
static int may_go_on(void *arg, struct err *err)
{
	const struct job *job = arg;
	struct err failure = { 0 };

	if (work_held(job->api, &job->work, &failure) == 0 || !work_is_lost(&failure))
		return 0;
	*err = failure;
	return -1;
}

int execute_app(struct job *job, struct err *err)
{
	const json_t *process = json_object_get(job->policy.doc, "process");
	const struct jail_conf conf = {
		.rootfs_dir = job->rootfs_dir,
		.input_dir = job->input_dir,
		.output_dir = job->output_dir,
		.cgroup = job->boot->cgroup,
		.argv = argv_of(job->arena, process),
		.env = env_of(job->arena, process),
		.cwd = json_text(process, "cwd"),
		.limits = limits_of(json_object_get(job->policy.doc, "limits")),
		.may_go_on = may_go_on,
		.may_go_on_arg = job,
	};

	if (jail_run(&conf, &job->result, err) < 0)
		return -1;
	job->has_result = true;
	return 0;
}
