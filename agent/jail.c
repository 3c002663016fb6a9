/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's side of a jail: starts the helper in new namespaces, collects output, enforces time,
 * tells what happened. */
#include "agent/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/jail_inner.h"
#include "lib/id.h"
#include "lib/mem.h"

#define BEAT_MS 100 /* how often the clocks are looked at */
#define ASK_MS 2000 /* how often it is asked whether the app may go on */

struct jail {
	const struct jail_conf *conf;
	struct jail_result *result;
	pid_t pid;
	int pidfd, out, errors, status; /* our ends */
	long long deadline_ms, ask_ms;
	bool stopped, reported, listens;
	struct err stop;
	struct jail_report report;
};

static void add_hit(struct jail_result *result, const char *name)
{
	for (size_t i = 0; i < JAIL_MAX_HITS; i++) {
		if (!result->limits_hit[i])
			result->limits_hit[i] = name;
		if (strcmp(result->limits_hit[i], name) == 0)
			return;
	}
}

/* --- start --- */

static int mount_output(const struct jail_conf *conf, struct err *err)
{
	auto_free char *data = mem_printf("size=%lld,nr_inodes=%lld,mode=755,uid=%u,gid=%u",
		conf->limits.output_bytes, conf->limits.output_files + 1, JAIL_UID_BASE + conf->uid,
		JAIL_UID_BASE + conf->gid);

	if (mount("tmpfs", conf->output_dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, data) < 0)
		return err_errno(err, "mount %s", conf->output_dir);
	return 0;
}

void jail_output_release(const char *output_dir)
{
	umount2(output_dir, MNT_DETACH);
}

static int check_conf(const struct jail_conf *conf, struct err *err)
{
	const struct jail_limits *limits = &conf->limits;

	if (limits->memory_bytes < 1 || limits->pids < 1 || limits->wall_ms < 1 ||
		limits->cpu_seconds < 1 || limits->output_bytes < 1 || limits->output_files < 1 ||
		limits->stdout_bytes < 1)
		return err_set(err, ERR_INVALID, "jail.limits", "every limit must be at least 1");
	if (!conf->argv || !conf->argv[0] || conf->uid >= JAIL_UID_COUNT ||
		conf->gid >= JAIL_UID_COUNT)
		return err_set(err, ERR_INVALID, "jail.conf", "no program, or a user beyond %u",
			JAIL_UID_COUNT - 1);
	return 0;
}

/* In the new process, which shares nothing but must not allocate: puts the files in place and
 * becomes the helper. */
static _Noreturn void become_helper(const int fds[5])
{
	static char *const argv[] = { (char *)(uintptr_t) "strongroom-agent",
		(char *)(uintptr_t) "--jail", NULL };
	static char *const env[] = { (char *)(uintptr_t) "GNUTLS_NO_IMPLICIT_INIT=1", NULL };

	for (int i = 0; i < 5; i++)
		if (dup2(fds[i], i) < 0)
			_exit(1);
	close_range(5, ~0u, 0);
	execve("/proc/self/exe", argv, env);
	_exit(1);
}

static int spawn(struct jail *jail, const int fds[5], int cgroup_fd, struct err *err)
{
	struct clone_args args = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&jail->pidfd,
		.exit_signal = SIGCHLD,
	};
	long pid;

	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP | CLONE_NEWCGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		become_helper(fds);
	if (pid < 0)
		return err_errno(err, "start the jail");
	jail->pid = (pid_t)pid;
	return 0;
}

/* Above the numbers that the helper's files will take. */
static int raise_fd(int fd)
{
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);

	if (fd >= 0)
		close(fd);
	return high;
}

static int open_pipe(int *ret_read, int *ret_write, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, "pipe");
	*ret_read = raise_fd(fds[0]);
	*ret_write = raise_fd(fds[1]);
	fcntl(*ret_read, F_SETFL, O_NONBLOCK);
	return 0;
}

/* Reports keep their bounds on it, and may bring files. */
static int open_status(int *ret_read, int *ret_write, struct err *err)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return err_errno(err, "socketpair");
	*ret_read = raise_fd(fds[0]);
	*ret_write = raise_fd(fds[1]);
	fcntl(*ret_read, F_SETFL, O_NONBLOCK);
	return 0;
}

static int start(struct jail *jail, struct err *err)
{
	auto_fd int null_fd = raise_fd(open("/dev/null", O_RDWR | O_CLOEXEC));
	auto_fd int conf_fd = -1, out = -1, errors = -1, status = -1, group = -1;

	if (null_fd < 0)
		return err_errno(err, "open /dev/null");
	if (jail_conf_write(jail->conf, &conf_fd, err) < 0 ||
		open_pipe(&jail->out, &out, err) < 0 ||
		open_pipe(&jail->errors, &errors, err) < 0 ||
		open_status(&jail->status, &status, err) < 0)
		return -1;
	conf_fd = raise_fd(conf_fd);
	if (jail->conf->cgroup) {
		group = raise_fd(jail_cgroup_open(jail->conf->cgroup, err));
		if (group < 0)
			return -1;
	}
	return spawn(jail, (const int[]) { null_fd, out, errors, conf_fd, status }, group, err);
}

/* --- supervise --- */

static void kill_all(struct jail *jail)
{
	if (jail->conf->cgroup)
		jail_cgroup_kill(jail->conf->cgroup);
	syscall(SYS_pidfd_send_signal, jail->pidfd, SIGKILL, NULL, 0);
}

/* Takes what is there; what is beyond the limit is read and forgotten. 0 at the end of the stream.
 */
static int drain(struct jail *jail, int fd, struct buf *text, const char *name)
{
	char data[16384];
	ssize_t got;

	while ((got = read(fd, data, sizeof(data))) > 0) {
		size_t room = text->max - text->len;

		if ((size_t)got > room)
			add_hit(jail->result, name);
		if (room > 0)
			(void)buf_add(text, data, (size_t)got < room ? (size_t)got : room, NULL);
	}
	return got < 0 && (errno == EAGAIN || errno == EINTR);
}

/* The sockets that came with a report; whoever else has them, they are closed here. */
static void take_sockets(struct jail *jail, const struct msghdr *message)
{
	const struct cmsghdr *head = CMSG_FIRSTHDR(message);
	const struct jail_conf *conf = jail->conf;
	int fds[JAIL_MAX_PORTS];
	size_t count = 0;

	if (!head || head->cmsg_type != SCM_RIGHTS || jail->listens)
		return;
	count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(head), sizeof(int) * count);
	jail->listens = true;
	conf->on_listening(conf->on_listening_arg, fds, count);
}

/* One report of the helper, if there is one. false at the end of what it says. */
static bool take_report(struct jail *jail)
{
	struct jail_report report;
	struct iovec iov = { &report, sizeof(report) };
	union {
		char space[CMSG_SPACE(sizeof(int) * JAIL_MAX_PORTS)];
		struct cmsghdr align;
	} control;
	struct msghdr message = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(jail->status, &message, MSG_CMSG_CLOEXEC);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got != (ssize_t)sizeof(report))
		return false;
	if (report.kind == JAIL_LISTENS) {
		take_sockets(jail, &message);
	} else if (!jail->reported) {
		jail->reported = true;
		jail->report = report;
		jail->report.detail[sizeof(report.detail) - 1] = '\0';
	}
	return true;
}

static void check_clocks(struct jail *jail)
{
	const struct jail_limits *limits = &jail->conf->limits;

	if (clock_monotonic_ms() >= jail->deadline_ms) {
		add_hit(jail->result, "wall");
		kill_all(jail);
	}
	if (!jail->conf->cgroup)
		return;
	jail->result->cpu_ms =
		jail_cgroup_count(jail->conf->cgroup, "cpu.stat", "usage_usec") / 1000;
	if (jail->result->cpu_ms >= limits->cpu_seconds * 1000) {
		add_hit(jail->result, "cpu");
		kill_all(jail);
	}
}

static void ask(struct jail *jail)
{
	const struct jail_conf *conf = jail->conf;

	if (!conf->may_go_on || jail->stopped || clock_monotonic_ms() < jail->ask_ms)
		return;
	if (conf->may_go_on(conf->may_go_on_arg, &jail->stop) < 0) {
		jail->stopped = true;
		kill_all(jail);
	}
	jail->ask_ms = clock_monotonic_ms() + ASK_MS;
}

/* Until the helper is gone: then every process of the jail is. */
static void supervise(struct jail *jail)
{
	struct pollfd polls[] = {
		{ .fd = jail->pidfd, .events = POLLIN },
		{ .fd = jail->out, .events = POLLIN },
		{ .fd = jail->errors, .events = POLLIN },
		{ .fd = jail->status, .events = POLLIN },
	};
	enum { STATUS = ARRAY_LEN(polls) - 1 };
	struct buf *const texts[] = { NULL, &jail->result->stdout_text,
		&jail->result->stderr_text };
	const char *const names[] = { NULL, "stdout", "stderr" };

	while (!(polls[0].revents & POLLIN)) {
		if (poll(polls, ARRAY_LEN(polls), BEAT_MS) < 0 && errno != EINTR)
			kill_all(jail);
		for (size_t i = 1; i < STATUS; i++)
			if (polls[i].revents && !drain(jail, polls[i].fd, texts[i], names[i]))
				polls[i].fd = -1;
		if (polls[STATUS].revents && !take_report(jail))
			polls[STATUS].fd = -1;
		check_clocks(jail);
		ask(jail);
	}
	drain(jail, jail->out, texts[1], names[1]);
	drain(jail, jail->errors, texts[2], names[2]);
	for (unsigned i = 0; i < 2; i++) /* sockets, and how it ended */
		take_report(jail);
}

/* --- result --- */

static void look_at_output(struct jail *jail)
{
	struct statvfs st;

	if (statvfs(jail->conf->output_dir, &st) < 0)
		return;
	if (st.f_bfree == 0)
		add_hit(jail->result, "output_bytes");
	if (st.f_ffree == 0)
		add_hit(jail->result, "output_files");
}

static void look_at_cgroup(struct jail *jail)
{
	const char *group = jail->conf->cgroup;

	if (!group)
		return;
	if (jail_cgroup_count(group, "memory.events", "oom_kill") > 0)
		add_hit(jail->result, "memory");
	if (jail_cgroup_count(group, "pids.events", "max") > 0)
		add_hit(jail->result, "pids");
	jail->result->cpu_ms = jail_cgroup_count(group, "cpu.stat", "usage_usec") / 1000;
	if (jail->result->cpu_ms >= jail->conf->limits.cpu_seconds * 1000)
		add_hit(jail->result, "cpu");
}

static int conclude(struct jail *jail, struct err *err)
{
	int status = jail->reported ? jail->report.value : SIGKILL;

	look_at_output(jail);
	look_at_cgroup(jail);
	if (jail->stopped) {
		*err = jail->stop;
		return -1;
	}
	if (jail->reported && jail->report.kind == JAIL_FAILED)
		return err_set(err, ERR_INTERNAL, "jail.failed", "%s", jail->report.detail);
	if (jail->reported && jail->report.kind == JAIL_NO_APP)
		return err_set(err, ERR_UNPROCESSABLE, "jail.no_app", "%s", jail->report.detail);
	if (!jail->reported && !jail->result->limits_hit[0])
		return err_set(err, ERR_INTERNAL, "jail.failed", "the helper died");
	jail->result->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	jail->result->returncode =
		WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return 0;
}

static void release(struct jail *jail)
{
	const int fds[] = { jail->pidfd, jail->out, jail->errors, jail->status };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (jail->conf->cgroup)
		jail_cgroup_remove(jail->conf->cgroup);
}

static int run_started(struct jail *jail, struct err *err)
{
	siginfo_t info;

	supervise(jail);
	while (waitid(P_PIDFD, (id_t)jail->pidfd, &info, WEXITED) < 0 && errno == EINTR)
		continue;
	return conclude(jail, err);
}

int jail_run(const struct jail_conf *conf, struct jail_result *ret_result, struct err *err)
{
	size_t cap = conf->limits.stdout_bytes > 0 ? (size_t)conf->limits.stdout_bytes : 0;
	struct jail_result result = { .stdout_text = BUF_INIT(cap), .stderr_text = BUF_INIT(cap) };
	long long now_ms = clock_monotonic_ms();
	struct jail jail = { .conf = conf,
		.result = &result,
		.pidfd = -1,
		.out = -1,
		.errors = -1,
		.status = -1,
		.deadline_ms = now_ms + conf->limits.wall_ms,
		.ask_ms = now_ms + ASK_MS };
	int rc = -1;

	if (check_conf(conf, err) < 0 || mount_output(conf, err) < 0)
		return -1;
	if (!conf->cgroup || jail_cgroup_make(conf->cgroup, &conf->limits, err) == 0)
		rc = start(&jail, err) < 0 ? -1 : run_started(&jail, err);
	release(&jail);
	if (rc < 0) {
		jail_output_release(conf->output_dir);
		jail_result_release(&result);
		return -1;
	}
	*ret_result = result;
	return 0;
}

void jail_result_release(struct jail_result *result)
{
	buf_wipe(&result->stdout_text);
	buf_wipe(&result->stderr_text);
}
