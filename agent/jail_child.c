/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper: PID 1 of the jail, root of the VM, without the agent's memory. It builds the cage,
 * starts the app as an unprivileged child in a user namespace, reaps, and reports how the app
 * ended. Its own end takes every process of the jail with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/jail_inner.h"
#include "lib/mem.h"

#define BACKLOG 64

static void report(enum jail_report_kind kind, int value, const char *detail)
{
	struct jail_report message = { .kind = kind, .value = value };

	snprintf(message.detail, sizeof(message.detail), "%s", detail);
	(void)!write(JAIL_FD_STATUS, &message, sizeof(message));
}

static _Noreturn void give_up(const struct err *err)
{
	report(JAIL_FAILED, errno, err->detail);
	_exit(1);
}

static int loopback_up(struct err *err)
{
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_name = "lo" };

	req.ifr_flags = IFF_UP | IFF_RUNNING;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &req) < 0)
		return err_errno(err, "bring lo up");
	return 0;
}

static int listen_on(unsigned short port, struct err *err)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
		listen(fd, BACKLOG) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return err_errno(err, "listen on port %u", port);
}

/* The agent answers on sockets of this network; what comes before it does waits in them. */
static int hand_over(const int *fds, size_t count, struct err *err)
{
	struct jail_report report = { .kind = JAIL_LISTENS };
	struct iovec iov = { &report, sizeof(report) };
	union {
		char space[CMSG_SPACE(sizeof(int) * JAIL_MAX_PORTS)];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr message = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(sizeof(int) * count) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(head), fds, sizeof(int) * count);
	return sendmsg(JAIL_FD_STATUS, &message, MSG_NOSIGNAL) < 0
		       ? err_errno(err, "hand the sockets over")
		       : 0;
}

static int open_ports(const struct jail_conf *conf, struct err *err)
{
	int fds[JAIL_MAX_PORTS], rc;
	size_t count = 0;

	for (; count < JAIL_MAX_PORTS && conf->ports[count]; count++) {
		fds[count] = listen_on(conf->ports[count], err);
		if (fds[count] < 0)
			return -1; /* the helper ends */
	}
	rc = count > 0 ? hand_over(fds, count, err) : 0;
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	return rc;
}

static int write_proc(int proc, pid_t pid, const char *file, const char *text, struct err *err)
{
	auto_free char *path = mem_printf("%d/%s", (int)pid, file);
	auto_fd int fd = openat(proc, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return err_errno(err, "write /proc/%s", path);
	return 0;
}

/* The app is what memory pressure ends, never the helper, which has to tell about it. A process
 * under test may not be allowed to protect itself: then the app is made the likelier victim. */
static int prefer_app(int proc, pid_t pid, struct err *err)
{
	bool is_safe = write_proc(proc, getpid(), "oom_score_adj", "-1000", NULL) == 0;

	return write_proc(proc, pid, "oom_score_adj", is_safe ? "0" : "1000", err);
}

static int adjust_child(int proc, pid_t pid, struct err *err)
{
	auto_free char *map = mem_printf("0 %u %u", JAIL_UID_BASE, JAIL_UID_COUNT);

	if (prefer_app(proc, pid, err) < 0 || write_proc(proc, pid, "gid_map", map, err) < 0)
		return -1;
	return write_proc(proc, pid, "uid_map", map, err);
}

static int set_limit(int resource, long long value, struct err *err)
{
	struct rlimit limit = { (rlim_t)value, (rlim_t)value };

	return setrlimit(resource, &limit) < 0 ? err_errno(err, "set limit %d", resource) : 0;
}

static int set_limits(const struct jail_conf *conf, struct err *err)
{
	if (set_limit(RLIMIT_CORE, 0, err) < 0 || set_limit(RLIMIT_NOFILE, 1024, err) < 0 ||
		set_limit(RLIMIT_MEMLOCK, 64 << 10, err) < 0 ||
		set_limit(RLIMIT_MSGQUEUE, 64 << 10, err) < 0 ||
		set_limit(RLIMIT_CPU, conf->limits.cpu_seconds + 1, err) < 0)
		return -1;
	if (conf->cgroup)
		return 0;
	return set_limit(RLIMIT_AS, conf->limits.memory_bytes, err) < 0
		       ? -1
		       : set_limit(RLIMIT_NPROC, conf->limits.pids, err);
}

int jail_drop_capabilities(struct err *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return err_errno(err, "drop capability %d", cap);
	if (prctl(PR_SET_SECUREBITS,
		    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
			    SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
			    SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
		    0, 0, 0) < 0 ||
		syscall(SYS_capset, &header, none) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, "drop the capabilities");
	return 0;
}

static int become_user(const struct jail_conf *conf, struct err *err)
{
	if (setgroups(0, NULL) < 0 || setresgid(conf->gid, conf->gid, conf->gid) < 0 ||
		setresuid(conf->uid, conf->uid, conf->uid) < 0)
		return err_errno(err, "become user %u:%u", conf->uid, conf->gid);
	return 0;
}

/* Nothing but 0, 1, 2 goes on; the status socket closes by itself when exec succeeds. */
static int clean_up(const struct jail_conf *conf, struct err *err)
{
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	umask(022);
	setsid();
	if (fcntl(JAIL_FD_STATUS, F_SETFD, FD_CLOEXEC) < 0 || close(JAIL_FD_CONF) < 0 ||
		close_range(JAIL_FD_STATUS + 1, ~0u, 0) < 0)
		return err_errno(err, "close files");
	return chdir(conf->cwd ? conf->cwd : "/") < 0 ? err_errno(err, "enter '%s'", conf->cwd) : 0;
}

static _Noreturn void start_app(const struct jail_conf *conf, int gate)
{
	struct err err = { 0 };
	char go;

	if (unshare(CLONE_NEWUSER) < 0 || write(gate, "u", 1) != 1 || read(gate, &go, 1) != 1) {
		err_errno(&err, "enter the user namespace");
		give_up(&err);
	}
	if (become_user(conf, &err) < 0 || clean_up(conf, &err) < 0 || set_limits(conf, &err) < 0 ||
		jail_drop_capabilities(&err) < 0 || jail_seccomp_load(&err) < 0)
		give_up(&err);
	environ = (char **)(uintptr_t)conf->env;
	execvp(conf->argv[0], (char *const *)(uintptr_t)conf->argv);
	err_errno(&err, "start '%s'", conf->argv[0]);
	report(JAIL_NO_APP, errno, err.detail);
	_exit(127);
}

/* The app waits in its user namespace until this side has mapped it. */
static pid_t launch(const struct jail_conf *conf, int proc, struct err *err)
{
	int gate[2];
	pid_t pid;
	char go;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) < 0)
		return err_errno(err, "socketpair");
	pid = fork();
	if (pid == 0)
		start_app(conf, gate[1]);
	close(gate[1]);
	if (pid < 0)
		return err_errno(err, "fork");
	if (read(gate[0], &go, 1) != 1)
		return err_set(err, ERR_INTERNAL, "jail.userns", "no user namespace");
	if (adjust_child(proc, pid, err) < 0)
		return -1;
	if (write(gate[0], "m", 1) != 1)
		return err_errno(err, "let the app go");
	close(gate[0]);
	return pid;
}

/* Both pipes belong to the app, or it could not open /dev/stdout. */
static int own_output(const struct jail_conf *conf, struct err *err)
{
	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		if (fchown(fd, JAIL_UID_BASE + conf->uid, JAIL_UID_BASE + conf->gid) < 0)
			return err_errno(err, "give the output away");
	return 0;
}

static int wait_for(pid_t app)
{
	int status = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &status, 0)) != app)
		if (pid < 0 && errno != EINTR)
			return -1;
	return status;
}

int jail_child_main(void)
{
	struct jail_conf *conf = NULL;
	struct err err = { 0 };
	auto_fd int proc = -1;
	pid_t app;

	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (jail_conf_read(JAIL_FD_CONF, &conf, &err) < 0 || sethostname("sandbox", 7) < 0 ||
		loopback_up(&err) < 0 || open_ports(conf, &err) < 0 || own_output(conf, &err) < 0 ||
		jail_mounts_build(conf, &proc, &err) < 0)
		give_up(&err);
	app = launch(conf, proc, &err);
	if (app < 0 || jail_drop_capabilities(&err) < 0)
		give_up(&err);
	close(proc);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	report(JAIL_ENDED, wait_for(app), "");
	jail_conf_free(conf);
	_exit(0);
}
