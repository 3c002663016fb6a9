/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver `process`, for development: the same agent as an ordinary process under runc, or under
 * bubblewrap where runc does not work, with no evidence. Its network namespace is empty but for a
 * listener that a relay joins to the edge. A sandbox's folder: <sandboxes_dir>/process/<id>, runc's
 * own state beside it in .runc. Root only: an app's cage takes more ids than anybody else has.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/launch.h"
#include "lib/crash.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "services/provisioner/bwrap.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/runc_bundle.h"
#include "services/provisioner/vm_cgroup.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_netns.h"
#include "services/provisioner/vm_process.h"
#include "services/provisioner/vm_relay.h"
#include "services/provisioner/vm_user.h"

#define RUNC_MS 60000
#define PROBE_MS 6000

static bool use_bwrap; /* driver_process_choose() */

/* Beside those of its place; freed by paths_release(). */
struct paths {
	char *state, *pid, *note, *log, *agent;
};

static struct paths paths_of(const struct driver_place *place)
{
	return (struct paths) { .state = mem_printf("%s/.runc", place->all),
		.pid = mem_printf("%s/runc.pid", place->folder),
		.note = mem_printf("%s/agent.pid", place->folder),
		.log = mem_printf("%s/runc.log", place->folder),
		.agent = mem_printf("%s/strongroom-agent", place->conf->guest_dir) };
}

static void paths_release(struct paths *paths)
{
	free(paths->state);
	free(paths->pid);
	free(paths->note);
	free(paths->log);
	free(paths->agent);
}
#define auto_paths __attribute__((cleanup(paths_release))) struct paths

/* --- runc --- */

static int spawn_runc(const char *const *argv, const char *output, pid_t *ret_pid)
{
	static char *const env[] = { (char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none;
	int rc;

	sigemptyset(&none); /* ours are blocked, and the agent must hear its own */
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(
		&files, STDOUT_FILENO, output, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600);
	posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
	rc = posix_spawnp(
		ret_pid, argv[0], &files, &attributes, (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return rc;
}

/* What it says goes to its log, and of the sandbox's process to the console. */
static int runc(const struct provisioner_conf *conf, const struct paths *paths, const char *output,
	int limit_ms, const char *const *verb, struct err *err)
{
	const char *argv[16] = { conf->runc, "--root", paths->state, "--log", paths->log };
	size_t n = 5;
	int status = 0;
	pid_t pid;

	for (; *verb && n < ARRAY_LEN(argv) - 1; verb++)
		argv[n++] = *verb;
	errno = spawn_runc(argv, output, &pid);
	if (errno != 0)
		return err_errno(err, "start '%s'", conf->runc);
	if (!vm_process_ends(pid, limit_ms))
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status == 0 ? 0
			   : err_set(err, ERR_INTERNAL, "sandbox.runc", "runc failed, see '%s'",
				     paths->log);
}
#define RUNC(conf, paths, output, err, ...)                                                        \
	runc(conf, paths, output, RUNC_MS, (const char *const[]) { __VA_ARGS__, NULL }, err)

/* Beside the one that was noted, a `runc create` that its caller did not live to see the end of. */
static struct vm_process process_of(const struct paths *paths, const char *id)
{
	return use_bwrap ? (struct vm_process) { paths->note, "bwrap", "--hostname", id }
			 : (struct vm_process) { paths->note, "runc", paths->pid, id };
}

static int read_pid(const char *path, pid_t *ret_pid, struct err *err)
{
	auto_buf text = BUF_INIT(32);

	if (buf_read_file(&text, path, err) < 0 || buf_add(&text, "", 1, err) < 0)
		return -1;
	*ret_pid = (pid_t)strtol((const char *)text.data, NULL, 10);
	return *ret_pid > 1 ? 0 : err_set(err, ERR_INTERNAL, "sandbox.runc", "runc told no pid");
}

/* --- the driver --- */

static struct runc_bundle bundle_of(
	const struct driver_place *place, const struct driver_spec *spec, const struct paths *paths)
{
	const struct provisioner_conf *conf = place->conf;
	long number = (long)(place->uid - (uid_t)conf->sandbox_uid);

	return (struct runc_bundle) { .folder = place->folder,
		.agent = paths->agent,
		.spec = spec,
		.uid = place->uid,
		.app_uid = (uid_t)(conf->process_uid + number * RUNC_APP_COUNT) };
}

static int prepare(const struct driver_place *place, const struct runc_bundle *bundle,
	const struct paths *paths, struct err *err)
{
	if (vm_files_folder(paths->state, 0700, err) < 0 ||
		vm_files_remove(place->folder, err) < 0 ||
		vm_files_folder(place->folder, 0711, err) < 0)
		return -1;
	return runc_bundle_write(bundle, err);
}

/* Made, joined to the edge, and only then started: the agent finds its way out at once. */
static int launch_runc(const struct driver_place *place, const struct paths *paths, struct err *err)
{
	const struct provisioner_conf *conf = place->conf;
	const char *id = place->sandbox_id;
	auto_fd int listener = -1;
	pid_t pid;

	if (RUNC(conf, paths, place->console, err, "create", "--bundle", place->folder,
		    "--pid-file", paths->pid, id) < 0 ||
		read_pid(paths->pid, &pid, err) < 0)
		return -1;
	crash_point("process", "created");
	if (vm_process_note(paths->note, pid, err) < 0 ||
		vm_netns_listen(pid, LAUNCH_GUEST_GATEWAY, LAUNCH_PORT, &listener, err) < 0 ||
		vm_relay_start(conf, id, place->uid, listener, pid, err) < 0)
		return -1;
	crash_point("process", "relayed");
	return RUNC(conf, paths, "/dev/null", err, "start", id);
}

/* The listener is there first; the relay is held by the agent, which has a pid last. */
static int launch_bwrap(const struct driver_place *place, const struct runc_bundle *bundle,
	const struct paths *paths, struct err *err)
{
	const struct provisioner_conf *conf = place->conf;
	auto_fd int listener = -1;
	auto_bwrap bwrap;
	pid_t pid;

	if (bwrap_create(conf->bwrap, bundle, place->console, &bwrap, err) < 0)
		return -1;
	crash_point("process", "created");
	if (vm_netns_listen(bwrap.pid, LAUNCH_GUEST_GATEWAY, LAUNCH_PORT, &listener, err) < 0 ||
		bwrap_start(&bwrap, &pid, err) < 0 || vm_process_note(paths->note, pid, err) < 0)
		return -1;
	crash_point("process", "relayed");
	return vm_relay_start(conf, place->sandbox_id, place->uid, listener, pid, err);
}

static int process_start(
	const struct driver_place *place, const struct driver_spec *spec, struct err *err)
{
	auto_paths paths = paths_of(place);
	const struct runc_bundle bundle = bundle_of(place, spec, &paths);

	if (!vm_is_root())
		return err_set(
			err, ERR_INTERNAL, "sandbox.needs_root", "the driver 'process' takes root");
	if (prepare(place, &bundle, &paths, err) < 0)
		return -1;
	return use_bwrap ? launch_bwrap(place, &bundle, &paths, err)
			 : launch_runc(place, &paths, err);
}

static int process_inspect(const struct driver_place *place, const char **ret_gone, struct err *err)
{
	auto_paths paths = paths_of(place);
	const struct vm_process agent = process_of(&paths, place->sandbox_id);
	pid_t pid;

	if (vm_process_find(&agent, &pid, err) < 0)
		return -1;
	vm_files_cap(place->console, DRIVER_CONSOLE_MAX);
	*ret_gone = pid > 0 ? NULL : "sandbox.died";
	return 0;
}

/* Not by runc: one that was killed half-way knows nothing of what it left. */
static int process_stop(const struct driver_place *place, struct err *err)
{
	auto_paths paths = paths_of(place);
	auto_free char *group = mem_printf(RUNC_CGROUP, place->sandbox_id);
	auto_free char *state = mem_printf("%s/%s", paths.state, place->sandbox_id);
	const struct vm_process agent = process_of(&paths, place->sandbox_id);

	if (vm_process_end(&agent, err) < 0 || vm_cgroup_end(group, err) < 0)
		return -1;
	return vm_files_remove(state, err);
}

/* What runc knows and has no folder here. */
static int process_list(
	const struct driver_place *all, driver_on_id *on_id, void *arg, struct err *err)
{
	auto_paths paths = paths_of(all);

	return vm_files_list(paths.state, on_id, arg, err);
}

/* --- which of the two --- */

/* A container that is made whole and never started. */
static bool runc_works(const struct driver_place *place)
{
	auto_paths paths = paths_of(place);
	auto_json json_t *parameters = json_pack("{s:i}", "memory_mib", 256);
	const struct driver_spec spec = { .sandbox_id = place->sandbox_id,
		.parameters = parameters,
		.initdata = "",
		.enrolment_secret = "" };
	const struct runc_bundle bundle = bundle_of(place, &spec, &paths);
	const char *const create[] = { "create", "--bundle", place->folder, "--pid-file", paths.pid,
		place->sandbox_id, NULL };
	struct err err = { 0 };
	bool works = vm_files_folder(place->all, 0711, &err) == 0 &&
		     prepare(place, &bundle, &paths, &err) == 0 &&
		     runc(place->conf, &paths, place->console, PROBE_MS, create, &err) == 0;

	log_info(
		"probed runc", "works", works ? "yes" : "no", "why", works ? "" : err.detail, NULL);
	(void)process_stop(place, NULL);
	(void)vm_files_remove(place->folder, NULL);
	return works;
}

int driver_process_choose(const struct provisioner_conf *conf, struct err *err)
{
	auto_free char *id = mem_printf("probe-%d", (int)getpid());
	auto_free char *all = mem_printf("%s/%s", conf->sandboxes_dir, driver_process.folder);
	auto_free char *folder = mem_printf("%s/.%s", all, id);
	auto_free char *console = mem_printf("%s/console.log", folder);
	const struct driver_place place = { .conf = conf,
		.sandbox_id = id,
		.all = all,
		.folder = folder,
		.console = console,
		.uid = (uid_t)conf->sandbox_uid };
	const char *asked = conf->process_runtime;

	use_bwrap = strcmp(asked, "bwrap") == 0;
	if (!use_bwrap && strcmp(asked, "runc") != 0 && strcmp(asked, "auto") != 0)
		return err_set(err, ERR_INVALID, "sandbox.bad_runtime",
			"process_runtime is '%s', not auto, runc or bwrap", asked);
	if (vm_is_root() && strcmp(asked, "auto") == 0)
		use_bwrap = !runc_works(&place);
	log_info("chose what the driver process runs under", "runtime",
		use_bwrap ? "bwrap" : "runc", "asked", asked, NULL);
	return 0;
}

const struct driver driver_process = {
	.name = "process",
	.folder = "process",
	.secret = "etc/secret",
	.console = "console.log",
	.start = process_start,
	.inspect = process_inspect,
	.stop = process_stop,
	.list = process_list,
};
