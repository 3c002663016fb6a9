/* SPDX-License-Identifier: Apache-2.0 */
/* From the policy's JSON to the jail's plain C. */
#include "agent/execute.h"

#include <string.h>

#include "agent/app_config.h"
#include "agent/managed.h"
#include "agent/node_agent.h"
#include "agent/proxy.h"
#include "lib/json.h"
#include "lib/log.h"

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

/* The policy's, but for what the second way in says itself. */
static const char *const *env_of(const struct job *job, const json_t *process)
{
	const char *const *more = app_config_env(job);
	json_t *map = json_object_get(process, "env"), *value;
	const char **env = arena_alloc(
		job->arena, (json_object_size(map) + APP_CONFIG_ENV + 1) * sizeof(*env));
	const char *name;
	size_t n = 0;

	json_object_foreach (map, name, value)
		if (!app_config_is_env(more, name))
			env[n++] =
				arena_printf(job->arena, "%s=%s", name, json_string_value(value));
	while (*more)
		env[n++] = *more++;
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

/* --- what answers the app on its loopback --- */

struct services {
	struct job *job;
	struct node_cert node;
	struct node_agent *node_agent;
	struct proxy *proxy;
	unsigned short ports[JAIL_MAX_PORTS + 1];
};

static int start(struct services *services, unsigned short port, int fd, struct err *err)
{
	const struct job *job = services->job;
	const json_t *egress = json_object_get(job->policy.doc, "egress");

	switch (port) {
	case APP_CONFIG_NODE_PORT:
		services->node_agent = node_agent_start(fd, &services->node, err);
		return services->node_agent ? 0 : -1;
	case APP_CONFIG_EGRESS_PORT:
		return managed_serve(job->managed, fd, err);
	default:
		services->proxy =
			proxy_start(fd, job->egress, json_object_get(egress, "domains"), err);
		return services->proxy ? 0 : -1;
	}
}

static void on_listening(void *arg, const int *fds, size_t count)
{
	struct services *services = arg;

	for (size_t i = 0; i < count; i++) {
		struct err err = { 0 };

		if (start(services, services->ports[i], fds[i], &err) < 0)
			log_failure("the app has no answer on its loopback", &err);
	}
}

static void add_port(struct services *services, unsigned short port)
{
	size_t n = 0;

	while (services->ports[n])
		n++;
	services->ports[n] = port;
}

static void services_init(struct services *services, struct job *job)
{
	*services = (struct services) { .job = job,
		.node = { .machine = job->verify->machine,
			.policy = job->policy.hash,
			.run = job->work.run,
			.app_config_id =
				json_text(json_object_get(job->policy.doc, "app"), "app_config_id"),
			.not_after = job->policy.deadline } };
	if (services->node.app_config_id)
		add_port(services, APP_CONFIG_NODE_PORT);
	if (job->egress)
		add_port(services, job->managed ? APP_CONFIG_EGRESS_PORT : APP_CONFIG_PROXY_PORT);
}

static void services_stop(struct services *services)
{
	managed_stop(services->job->managed);
	proxy_stop(services->proxy);
	node_agent_stop(services->node_agent);
}

int execute_app(struct job *job, struct err *err)
{
	const json_t *process = json_object_get(job->policy.doc, "process");
	struct services services;
	struct jail_conf conf = {
		.rootfs_dir = job->rootfs_dir,
		.is_root_writable = !json_text_is(job->policy.doc, "root_filesystem", "read-only"),
		.input_dir = job->input_dir,
		.output_dir = job->output_dir,
		.cgroup = job->boot->cgroup,
		.argv = argv_of(job->arena, process),
		.env = env_of(job, process),
		.cwd = json_text(process, "cwd"),
		.limits = limits_of(json_object_get(job->policy.doc, "limits")),
		.may_go_on = may_go_on,
		.may_go_on_arg = job,
		.on_listening = on_listening,
		.on_listening_arg = &services,
	};
	int rc;

	if (app_config_write(job, err) < 0)
		return -1;
	secrets_wipe_credentials(
		&job->secrets); /* the app has its own; managed.h the query strings */
	services_init(&services, job);
	memcpy(conf.ports, services.ports, sizeof(conf.ports));
	rc = jail_run(&conf, &job->result, err);
	services_stop(&services);
	job->has_result = rc == 0;
	return rc;
}
