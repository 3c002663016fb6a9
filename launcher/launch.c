/* SPDX-License-Identifier: Apache-2.0 */
/* Runs strongroom-launch and speaks its protocol; the caller's side. */
#include "launcher/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/id.h"
#include "lib/mem.h"

#define MAX_ARGS 160
#define DEFAULT_TIMEOUT_MS 10000

struct launcher_args {
	const char *argv[MAX_ARGS];
	char port[16], uid[16], gid[16];
};

static int fill_args(const struct launch_conf *conf, struct launcher_args *args, struct err *err)
{
	size_t n = 0;

	snprintf(args->port, sizeof(args->port), "%u", conf->port);
	snprintf(args->uid, sizeof(args->uid), "%u", conf->uid);
	snprintf(args->gid, sizeof(args->gid), "%u", conf->gid);
	args->argv[n++] = conf->launcher;
	args->argv[n++] = "--control";
	args->argv[n++] = "3";
	args->argv[n++] = "--port";
	args->argv[n++] = args->port;
	if (conf->file > 0)
		args->argv[n++] = "--file";
	if (conf->switch_user) {
		args->argv[n++] = "--uid";
		args->argv[n++] = args->uid;
		args->argv[n++] = "--gid";
		args->argv[n++] = args->gid;
	}
	for (const char *const *option = conf->view; *option; option++)
		args->argv[n++] = *option;
	args->argv[n++] = "--";
	for (char *const *arg = conf->argv; *arg; arg++) {
		if (n == MAX_ARGS - 1)
			return err_set(err, ERR_INVALID, "launch.failed", "too many arguments");
		args->argv[n++] = *arg;
	}
	args->argv[n] = NULL;
	return 0;
}

/* The launcher sees the control socket as 3 and starts with an empty environment. */
static int spawn_launcher(const struct launch_conf *conf, const struct launcher_args *args,
	int control, pid_t *ret_pid, struct err *err)
{
	static char *const env[] = { NULL };
	const char *log = conf->log_file ? conf->log_file : "/dev/null";
	posix_spawn_file_actions_t files;
	int rc;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(
		&files, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
	posix_spawn_file_actions_adddup2(&files, control, 3);
	if (conf->file > 0)
		posix_spawn_file_actions_adddup2(&files, conf->file, LAUNCH_FILE);
	rc = posix_spawn(
		ret_pid, conf->launcher, &files, NULL, (char *const *)(uintptr_t)args->argv, env);
	posix_spawn_file_actions_destroy(&files);
	errno = rc;
	return rc == 0 ? 0 : err_errno(err, "start %s", conf->launcher);
}

/* One message into `text`, its file into *ret_file. Bytes, 0 at the end, -1. */
static ssize_t receive(int control, long long deadline_ms, char *text, size_t size, int *ret_file)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} space = { 0 };
	struct iovec data = { text, size - 1 };
	struct msghdr message = { .msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = space.bytes,
		.msg_controllen = sizeof(space.bytes) };
	struct pollfd wait = { .fd = control, .events = POLLIN };
	long long left = deadline_ms - clock_monotonic_ms();
	const struct cmsghdr *header;
	ssize_t len;

	if (left < 0 || poll(&wait, 1, (int)left) <= 0)
		return -1;
	len = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
	text[len > 0 ? len : 0] = '\0';
	header = len > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(ret_file, CMSG_DATA(header), sizeof(int));
	return len;
}

/* "ready PID", then the end: anything else is a failure. */
static int follow(int control, long long deadline_ms, bool has_port, pid_t *ret_pid,
	int *ret_listener, struct err *err)
{
	auto_fd int listener = -1;
	int pid = 0;
	char text[256];
	ssize_t len;

	while ((len = receive(control, deadline_ms, text, sizeof(text), &listener)) > 0) {
		if (strncmp(text, "error ", 6) == 0)
			return err_set(err, ERR_INTERNAL, "launch.failed", "%s", text + 6);
		if (sscanf(text, "ready %d", &pid) != 1)
			break;
	}
	if (len < 0)
		return err_set(err, ERR_TIMEOUT, "launch.timeout", "the launcher does not answer");
	if (len > 0 || pid <= 0 || (has_port && listener < 0))
		return err_set(err, ERR_INTERNAL, "launch.failed", "the launcher ended early");
	*ret_pid = pid;
	if (has_port)
		*ret_listener = take_fd(listener);
	return 0;
}

void launch_show(struct launch_conf *conf, const char *option, const char *path)
{
	const char **end = conf->view;

	while (*end)
		end++;
	if (end + 2 >= conf->view + LAUNCH_VIEW_MAX)
		abort();
	end[0] = option;
	end[1] = path;
}

/* Libraries lie in the one or the other of these folders, as the host's distribution likes it. */
void launch_show_program(struct launch_conf *conf, const char *program)
{
	static const char *const folders[] = { "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
		"/lib64", "/usr/lib64" };

	launch_show(conf, "--ro", program);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (access(folders[i], F_OK) == 0)
			launch_show(conf, "--ro", folders[i]);
	}
	launch_show(conf, "--dev", "/dev/null");
	launch_show(conf, "--dev", "/dev/urandom");
}

int launch_start(const struct launch_conf *conf, pid_t *ret_pid, int *ret_listener, struct err *err)
{
	long timeout_ms = conf->timeout_ms > 0 ? conf->timeout_ms : DEFAULT_TIMEOUT_MS;
	long long deadline_ms = clock_monotonic_ms() + timeout_ms;
	auto_fd int ours = -1, theirs = -1;
	struct launcher_args args;
	int pair[2];
	pid_t pid;

	if (fill_args(conf, &args, err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, "socketpair");
	ours = pair[0];
	theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, 10); /* dup2 of 3 to 3 would keep close-on-exec */
	close(pair[1]);
	if (spawn_launcher(conf, &args, theirs, &pid, err) < 0)
		return -1;
	close(take_fd(theirs));
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	return follow(ours, deadline_ms, conf->port > 0, ret_pid, ret_listener, err);
}
