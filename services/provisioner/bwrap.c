/* SPDX-License-Identifier: Apache-2.0 */
/* bwrap.h: two forks, so that nobody here has to wait for the sandbox's end. */
#include "services/provisioner/bwrap.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "services/provisioner/bwrap_args.h"
#include "services/provisioner/vm_cgroup.h"
#include "services/provisioner/vm_files.h"

#define INFO_MAX 4096
#define INFO_MS 20000

/* What the new process needs; it must not allocate. Close-on-exec, above the numbers it takes. */
struct birth {
	char *const *argv;
	uint64_t capabilities;
	int null_fd, console, seccomp, info, go, born;
};

/* --- in the new process --- */

/* bubblewrap drops none of what a process of user 0 would have again after its next exec. */
static bool bound_capabilities(uint64_t kept)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (!(kept >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return false;
	}
	return true;
}

static _Noreturn void become(const struct birth *birth)
{
	static char *const env[] = { (char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		NULL };
	const int fds[] = { birth->null_fd, birth->console, birth->console, birth->seccomp,
		birth->info, birth->go };
	const struct rlimit none = { 0, 0 };
	enum { GO = ARRAY_LEN(fds) - 1 };
	sigset_t mask;
	char go;

	for (int i = 0; i < (int)ARRAY_LEN(fds); i++)
		if (dup2(fds[i], i) < 0)
			_exit(1);
	close_range(GO + 1, ~0u, 0); /* also what is of another sandbox that is being made */
	if (read(GO, &go, 1) != 1 || close(GO) < 0 || setgroups(0, NULL) < 0 ||
		setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 ||
		!bound_capabilities(birth->capabilities) || setrlimit(RLIMIT_CORE, &none) < 0)
		_exit(1);
	umask(022);	    /* as runc has it: the agent means apps to read what it makes */
	sigemptyset(&mask); /* ours are blocked, and the agent must hear its own */
	sigprocmask(SIG_SETMASK, &mask, NULL);
	execvpe(birth->argv[0], birth->argv, env);
	_exit(1);
}

/* Its child is nobody's: init will wait for it. */
static _Noreturn void give_birth(const struct birth *birth, int our_go)
{
	struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_NEWNET, .exit_signal = SIGCHLD };
	pid_t pid;

	setsid();
	close(our_go); /* or it would wait for itself */
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		become(birth);
	_exit(pid > 0 && write(birth->born, &pid, sizeof(pid)) == sizeof(pid) ? 0 : 1);
}

/* --- here --- */

static int open_pipe(int *ret_read, int *ret_write, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, "pipe");
	*ret_read = vm_files_raise(fds[0]);
	*ret_write = vm_files_raise(fds[1]);
	return 0;
}

static int spawn(const struct birth *birth, int our_go, int born, pid_t *ret_pid, struct err *err)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		give_birth(birth, our_go);
	if (pid < 0)
		return err_errno(err, "fork");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (status != 0 || read(born, ret_pid, sizeof(*ret_pid)) != sizeof(*ret_pid))
		return err_set(err, ERR_INTERNAL, "sandbox.bwrap", "no user namespace");
	return 0;
}

static int map_ids(pid_t pid, const char *file, const json_t *maps, struct err *err)
{
	auto_free char *path = mem_printf("/proc/%d/%s", (int)pid, file);
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	auto_buf text = BUF_INIT(256);
	const json_t *map;
	size_t i;

	json_array_foreach (maps, i, map) {
		auto_free char *line = mem_printf("%lld %lld %lld\n",
			json_integer_value(json_object_get(map, "containerID")),
			json_integer_value(json_object_get(map, "hostID")),
			json_integer_value(json_object_get(map, "size")));

		if (buf_add(&text, line, strlen(line), err) < 0)
			return -1;
	}
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
		return err_errno(err, "write %s", path);
	return 0;
}

static int set_up(pid_t pid, const json_t *config, struct err *err)
{
	const json_t *ours = json_object_get(config, "linux");
	const json_t *limits = json_object_get(ours, "resources");
	const char *group = json_text(ours, "cgroupsPath") + 1; /* without its slash */

	if (map_ids(pid, "uid_map", json_object_get(ours, "uidMappings"), err) < 0 ||
		map_ids(pid, "gid_map", json_object_get(ours, "gidMappings"), err) < 0)
		return -1;
	return vm_cgroup_begin(group, pid,
		json_integer_value(json_object_get(json_object_get(limits, "memory"), "limit")),
		json_integer_value(json_object_get(json_object_get(limits, "pids"), "limit")), err);
}

static char **argv_of(const json_t *args)
{
	char **argv = mem_array(json_array_size(args) + 1, sizeof(*argv));

	for (size_t i = 0; i < json_array_size(args); i++)
		argv[i] = (char *)(uintptr_t)json_string_value(json_array_get(args, i));
	return argv;
}

int bwrap_create(const char *program, const struct runc_bundle *bundle, const char *console,
	struct bwrap *ret_bwrap, struct err *err)
{
	auto_json json_t *config = runc_bundle_config(bundle);
	auto_json json_t *args =
		bwrap_args(program, config, bundle->folder, bundle->spec->sandbox_id);
	auto_free char **argv = argv_of(args);
	auto_fd int null_fd = vm_files_raise(open("/dev/null", O_RDONLY | O_CLOEXEC));
	auto_fd int out = vm_files_raise(
		open(console, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
	auto_fd int seccomp = -1, info = -1, go = -1, born = -1, our_born = -1;

	*ret_bwrap = (struct bwrap) { .go = -1, .info = -1 };
	if (null_fd < 0 || out < 0)
		return err_errno(err, "open '%s'", console);
	if (bwrap_seccomp(config, &seccomp, err) < 0 ||
		open_pipe(&ret_bwrap->info, &info, err) < 0 ||
		open_pipe(&go, &ret_bwrap->go, err) < 0 || open_pipe(&our_born, &born, err) < 0)
		return -1;
	seccomp = vm_files_raise(seccomp);
	const struct birth birth = { argv, runc_bundle_capabilities(), null_fd, out, seccomp, info,
		go, born };

	if (spawn(&birth, ret_bwrap->go, our_born, &ret_bwrap->pid, err) < 0)
		return -1;
	return set_up(ret_bwrap->pid, config, err);
}

/* bubblewrap closes its end when it has said all. */
static int read_info(int fd, struct buf *text, struct err *err)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char data[512];
	ssize_t got;

	while (poll(&wait, 1, INFO_MS) == 1 && (got = read(fd, data, sizeof(data))) >= 0) {
		if (got == 0)
			return 0;
		if (buf_add(text, data, (size_t)got, err) < 0)
			return -1;
	}
	return err_set(err, ERR_INTERNAL, "sandbox.bwrap", "bubblewrap does not answer");
}

int bwrap_start(struct bwrap *bwrap, pid_t *ret_agent, struct err *err)
{
	auto_buf text = BUF_INIT(INFO_MAX);
	auto_json json_t *info = NULL;

	if (write(bwrap->go, "g", 1) != 1)
		return err_errno(err, "let bubblewrap go");
	if (read_info(bwrap->info, &text, err) < 0)
		return -1;
	info = text.len > 0 ? json_parse((const char *)text.data, text.len, NULL) : NULL;
	*ret_agent = (pid_t)json_integer_value(json_object_get(info, "child-pid"));
	return *ret_agent > 1 ? 0
			      : err_set(err, ERR_INTERNAL, "sandbox.bwrap",
					"bubblewrap failed, see the sandbox's console");
}

void bwrap_release(struct bwrap *bwrap)
{
	if (bwrap->go >= 0)
		close(bwrap->go);
	if (bwrap->info >= 0)
		close(bwrap->info);
}
