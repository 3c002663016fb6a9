/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver `process`, for development: the same agent as an ordinary process under runc, with no
 * evidence. Its network namespace is empty but for a listener that a relay joins to the edge. A
 * sandbox's folder: <sandboxes_dir>/process/<id>, runc's own state beside it in .runc. Root only:
 * an app's cage takes more ids than anybody else has.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/launch.h"
#include "lib/crash.h"
#include "lib/mem.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/runc_bundle.h"
#include "services/provisioner/vm_cgroup.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_netns.h"
#include "services/provisioner/vm_process.h"
#include "services/provisioner/vm_relay.h"
#include "services/provisioner/vm_user.h"

#define CONSOLE_MAX (4 << 20)

struct paths {
	char *all, *state, *folder, *pid, *note, *console, *secret, *log, *agent;
};

static void paths_init(struct paths *paths, const struct provisioner_conf *conf, const char *id)
{
	paths->all = mem_printf("%s/process", conf->sandboxes_dir);
	paths->state = mem_printf("%s/.runc", paths->all);
	paths->folder = mem_printf("%s/%s", paths->all, id);
	paths->pid = mem_printf("%s/runc.pid", paths->folder);
	paths->note = mem_printf("%s/agent.pid", paths->folder);
	paths->console = mem_printf("%s/console.log", paths->folder);
	paths->secret = mem_printf("%s/etc/secret", paths->folder);
	paths->log = mem_printf("%s/runc.log", paths->folder);
	paths->agent = mem_printf("%s/strongroom-agent", conf->guest_dir);
}

static void paths_release(struct paths *paths)
{
	char *const all[] = { paths->all, paths->state, paths->folder, paths->pid, paths->note,
		paths->console, paths->secret, paths->log, paths->agent };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		free(all[i]);
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
	const char *const *verb, struct err *err)
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
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status == 0 ? 0
			   : err_set(err, ERR_INTERNAL, "sandbox.runc", "runc failed, see '%s'",
				     paths->log);
}
#define RUNC(conf, paths, output, err, ...)                                                        \
	runc(conf, paths, output, (const char *const[]) { __VA_ARGS__, NULL }, err)

/* Beside the one that was noted, a `runc create` that its caller did not live to see the end of. */
static struct vm_process process_of(const struct paths *paths, const char *id)
{
	return (struct vm_process) { paths->note, "runc", paths->pid, id };
}

/* Not by runc: one that was killed half-way knows nothing of what it left. */
static int end(const struct paths *paths, const char *id, struct err *err)
{
	auto_free char *group = mem_printf(RUNC_CGROUP, id);
	auto_free char *state = mem_printf("%s/%s", paths->state, id);
	const struct vm_process agent = process_of(paths, id);

	if (vm_process_end(&agent, err) < 0 || vm_cgroup_end(group, err) < 0)
		return -1;
	return vm_files_remove(state, err);
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

static int prepare(const struct provisioner_conf *conf, const struct driver_spec *spec,
	const struct paths *paths, uid_t uid, struct err *err)
{
	const struct runc_bundle bundle = { .folder = paths->folder,
		.agent = paths->agent,
		.spec = spec,
		.uid = uid,
		.app_uid = (uid_t)(conf->process_uid +
				   (long)(uid - (uid_t)conf->sandbox_uid) * RUNC_APP_COUNT) };

	if (vm_files_folder(paths->all, 0711, err) < 0 ||
		vm_files_folder(paths->state, 0700, err) < 0 ||
		vm_files_remove(paths->folder, err) < 0 ||
		vm_files_folder(paths->folder, 0711, err) < 0)
		return -1;
	return runc_bundle_write(&bundle, err);
}

/* Made, joined to the edge, and only then started: the agent finds its way out at once. */
static int launch(const struct provisioner_conf *conf, const struct driver_spec *spec,
	const struct paths *paths, uid_t uid, struct err *err)
{
	const char *id = spec->sandbox_id;
	auto_fd int listener = -1;
	pid_t pid;

	if (RUNC(conf, paths, paths->console, err, "create", "--bundle", paths->folder,
		    "--pid-file", paths->pid, id) < 0 ||
		read_pid(paths->pid, &pid, err) < 0)
		return -1;
	crash_point("process", "created");
	if (vm_process_note(paths->note, pid, err) < 0 ||
		vm_netns_listen(pid, LAUNCH_GUEST_GATEWAY, LAUNCH_PORT, &listener, err) < 0 ||
		vm_relay_start(conf, id, uid, listener, pid, err) < 0)
		return -1;
	crash_point("process", "relayed");
	return RUNC(conf, paths, "/dev/null", err, "start", id);
}

static int process_start(
	const struct provisioner_conf *conf, const struct driver_spec *spec, struct err *err)
{
	auto_paths paths;
	uid_t uid;

	if (!vm_is_root())
		return err_set(
			err, ERR_INTERNAL, "sandbox.needs_root", "the driver 'process' takes root");
	paths_init(&paths, conf, spec->sandbox_id);
	if (end(&paths, spec->sandbox_id, err) < 0 ||
		vm_files_folder(conf->sandboxes_dir, 0711, err) < 0 ||
		vm_user_of(conf, spec->sandbox_id, &uid, err) < 0 ||
		prepare(conf, spec, &paths, uid, err) < 0)
		return -1;
	return launch(conf, spec, &paths, uid, err);
}

static int process_inspect(const struct provisioner_conf *conf, const char *sandbox_id,
	const char **ret_gone, struct err *err)
{
	struct vm_process agent;
	struct stat info;
	auto_paths paths;
	pid_t pid;

	paths_init(&paths, conf, sandbox_id);
	agent = process_of(&paths, sandbox_id);
	if (vm_process_find(&agent, &pid, err) < 0)
		return -1;
	if (stat(paths.console, &info) == 0 && info.st_size > CONSOLE_MAX)
		(void)!truncate(paths.console, 0); /* written by appending: it begins anew */
	*ret_gone = pid > 0 ? NULL : "sandbox.died";
	return 0;
}

static int process_settled(
	const struct provisioner_conf *conf, const char *sandbox_id, struct err *err)
{
	auto_paths paths;

	paths_init(&paths, conf, sandbox_id);
	if (unlink(paths.secret) < 0 && errno != ENOENT)
		return err_errno(err, "remove the enrolment secret");
	return 0;
}

static int process_stop(
	const struct provisioner_conf *conf, const char *sandbox_id, struct err *err)
{
	auto_paths paths;

	paths_init(&paths, conf, sandbox_id);
	return end(&paths, sandbox_id, err);
}

static int process_destroy(
	const struct provisioner_conf *conf, const char *sandbox_id, struct err *err)
{
	auto_paths paths;

	paths_init(&paths, conf, sandbox_id);
	if (end(&paths, sandbox_id, err) < 0 || vm_files_remove(paths.folder, err) < 0)
		return -1;
	return vm_user_give_back(conf, sandbox_id, err);
}

static int process_list(const struct provisioner_conf *conf,
	int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
	struct err *err)
{
	auto_paths paths;

	paths_init(&paths, conf, "");
	if (vm_files_list(paths.all, on_id, arg, err) < 0)
		return -1;
	return vm_files_list(paths.state, on_id, arg, err);
}

static char *process_console_file(const struct provisioner_conf *conf, const char *sandbox_id)
{
	auto_paths paths;

	paths_init(&paths, conf, sandbox_id);
	return take_ptr(paths.console);
}

const struct driver driver_process = {
	.name = "process",
	.start = process_start,
	.inspect = process_inspect,
	.settled = process_settled,
	.stop = process_stop,
	.destroy = process_destroy,
	.list = process_list,
	.console_file = process_console_file,
};
