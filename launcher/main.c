/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom-launch --control FD --port N [--file] [--uid U --gid G] [--ro|--rw|--dev PATH]...
 * -- PROGRAM ARG...
 *
 * Puts a program (QEMU, swtpm) into its cage and becomes it: a process of its own session, no child
 * of the caller; an empty network and IPC namespace with nothing but lo up; a root with nothing but
 * the given paths (root.h); another user; no new privileges; no open file but 0, 1, 2 and, with
 * --file, 4; no file beyond 4 MiB. Root makes the namespaces directly, anybody else inside a user
 * namespace that maps only himself. FD is one end of a SOCK_SEQPACKET pair. What is sent there, in
 * this order:
 *   "ready PID"   with one file (SCM_RIGHTS) unless N is 0: a TCP socket listening on 127.0.0.1:N
 *                 inside
 *   "error TEXT"  something failed, before or behind that; the program does not run
 *   end of file   the program was executed
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/launch.h"
#include "launcher/root.h"
#include "lib/mem.h"

/* No file grows beyond this: the guest writes its console as it likes, and the host's disk is
 * everybody's. SIGXFSZ is ignored, so that what does not fit is lost and the VM lives on. */
#define FILE_MAX (4u << 20)
#define NAMESPACES (CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS)

struct options {
	int control;
	bool keeps_file;
	long port, uid, gid; /* uid and gid -1: stay */
	char **program;
	struct root_entry entries[ROOT_MAX];
	size_t n_entries;
};

static void tell(int control, int file, const char *text)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} space = { 0 };
	struct iovec data = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };

	if (file >= 0) {
		struct cmsghdr *header;

		message.msg_control = space.bytes;
		message.msg_controllen = sizeof(space.bytes);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &file, sizeof(int));
	}
	(void)sendmsg(control, &message, MSG_NOSIGNAL);
}

static _Noreturn void give_up(int control, const char *what)
{
	auto_free char *text = mem_printf("error %s: %s", what, strerror(errno));

	tell(control, -1, text);
	_exit(1);
}

static int write_file(const char *path, const char *text)
{
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

/* An ordinary user becomes able to do this by being alone in a user namespace. */
static int enter_namespaces(void)
{
	auto_free char *uid_map = mem_printf("%d %d 1", geteuid(), geteuid());
	auto_free char *gid_map = mem_printf("%d %d 1", getegid(), getegid());

	if (geteuid() == 0)
		return unshare(NAMESPACES);
	if (unshare(CLONE_NEWUSER | NAMESPACES) < 0)
		return -1;
	if (write_file("/proc/self/setgroups", "deny") < 0 ||
		write_file("/proc/self/gid_map", gid_map) < 0)
		return -1;
	return write_file("/proc/self/uid_map", uid_map);
}

static int loopback_up(void)
{
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_name = "lo" };

	req.ifr_flags = IFF_UP | IFF_RUNNING;
	return fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &req);
}

static int listen_inside(long port)
{
	auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	if (fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 || listen(fd, 64) < 0)
		return -1;
	return take_fd(fd);
}

/* Of a device that is its group's to use, as /dev/kvm is on many hosts, the group comes with it. */
static size_t device_groups(const struct options *options, gid_t ret_groups[ROOT_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < options->n_entries; i++) {
		const struct root_entry *entry = &options->entries[i];
		struct stat info;

		if (entry->kind == ROOT_DEVICE && stat(entry->path, &info) == 0 &&
			(info.st_mode & 0060) == 0060 && info.st_gid != 0)
			ret_groups[count++] = info.st_gid;
	}
	return count;
}

static int become(const struct options *options)
{
	const struct rlimit none = { 0, 0 }, small = { FILE_MAX, FILE_MAX };
	gid_t groups[ROOT_MAX];
	size_t n_groups = device_groups(options, groups);

	if (options->gid >= 0 && (setgroups(n_groups, groups) < 0 ||
					 setresgid((gid_t)options->gid, (gid_t)options->gid,
						 (gid_t)options->gid) < 0))
		return -1;
	if (options->uid >= 0 &&
		setresuid((uid_t)options->uid, (uid_t)options->uid, (uid_t)options->uid) < 0)
		return -1;
	umask(077);
	if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_FSIZE, &small) < 0 ||
		signal(SIGXFSZ, SIG_IGN) == SIG_ERR || chdir("/") < 0)
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* The caller's threads block signals that its loop takes; QEMU must hear SIGTERM. */
static int hear_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int close_files(const struct options *options)
{
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return -1;
	return options->keeps_file ? fcntl(LAUNCH_FILE, F_SETFD, 0) : 0;
}

static _Noreturn void run(const struct options *options)
{
	auto_fd int listener = -1;
	int control = options->control;
	auto_free char *ready = NULL;
	const char *what;

	setsid();
	if (close_files(options) < 0)
		give_up(control, "close files");
	if (enter_namespaces() < 0)
		give_up(control, "make the namespaces");
	if (loopback_up() < 0)
		give_up(control, "bring lo up");
	if (options->port > 0) {
		listener = listen_inside(options->port);
		if (listener < 0)
			give_up(control, "listen");
	}
	ready = mem_printf("ready %d", (int)getpid());
	tell(control, listener, ready);
	if (listener >= 0)
		close(take_fd(listener));
	if (root_enter(options->entries, options->n_entries, &what) < 0)
		give_up(control, what);
	if (become(options) < 0 || hear_signals() < 0)
		give_up(control, "become the sandbox's user");
	execv(options->program[0], options->program);
	give_up(control, options->program[0]);
}

static int parse_number(const char *text, long max, long *ret_number)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (end == text || *end || number < 0 || number > max)
		return -1;
	*ret_number = number;
	return 0;
}

static int add_entry(struct options *options, int kind, const char *path)
{
	if (kind < ROOT_READ || kind > ROOT_DEVICE || options->n_entries == ROOT_MAX ||
		*path != '/')
		return -1;
	options->entries[options->n_entries++] = (struct root_entry) { (enum root_kind)kind, path };
	return 0;
}

static int parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option names[] = {
		{ "control", required_argument, NULL, 'c' },
		{ "port", required_argument, NULL, 'p' },
		{ "file", no_argument, NULL, 'f' },
		{ "uid", required_argument, NULL, 'u' },
		{ "gid", required_argument, NULL, 'g' },
		{ "ro", required_argument, NULL, ROOT_READ },
		{ "rw", required_argument, NULL, ROOT_WRITE },
		{ "dev", required_argument, NULL, ROOT_DEVICE },
		{ 0 },
	};
	long control = -1;
	int choice, rc = 0;

	while (rc == 0 && (choice = getopt_long(argc, argv, "+", names, NULL)) != -1) {
		if (choice == 'c')
			rc = parse_number(optarg, 1 << 20, &control);
		else if (choice == 'p')
			rc = parse_number(optarg, 65535, &ret_options->port);
		else if (choice == 'f')
			ret_options->keeps_file = true;
		else if (choice == 'u')
			rc = parse_number(optarg, INT32_MAX, &ret_options->uid);
		else if (choice == 'g')
			rc = parse_number(optarg, INT32_MAX, &ret_options->gid);
		else
			rc = add_entry(ret_options, choice, optarg);
	}
	ret_options->control = (int)control;
	ret_options->program = argv + optind;
	return rc == 0 && control > 2 && control != LAUNCH_FILE && ret_options->port >= 0 &&
			       optind < argc
		       ? 0
		       : -1;
}

int main(int argc, char **argv)
{
	struct options options = { .port = -1, .uid = -1, .gid = -1 };
	pid_t pid;

	if (parse(argc, argv, &options) < 0) {
		fputs("usage: strongroom-launch --control FD --port N [--file] [--uid U --gid G] "
		      "[--ro|--rw|--dev PATH]... -- PROGRAM ARG...\n",
			stderr);
		return 2;
	}
	pid = fork(); /* whoever started us waits for this process only */
	if (pid == 0)
		run(&options);
	if (pid < 0)
		give_up(options.control, "fork");
	return 0;
}
