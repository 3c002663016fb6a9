/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom-run --run N --exit FILE --control FIFO --dir DIR [--uid U] [--limit S] [--grace S]
 * -- PROGRAM ARG...
 *
 * Runs a program whose caller may die meanwhile, waits for it, and leaves in FILE how it ended:
 * "N exited C", "N signalled S", with " stopped" behind it when somebody asked for that or the
 * limit was over. An 'i' in the FIFO asks: the program gets one SIGINT and never a second, which it
 * would take for "at once, whatever is lost"; when the grace is over its group is killed. What it
 * left running is killed, too. Descriptors that are not close-on-exec are the program's as well: by
 * a lock on one of them the caller knows whether anything of it lives.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/id.h"
#include "lib/mem.h"

#define EXIT_NOT_RUN 127
#define FILES_MAX 1024
#define FILE_SIZE_MAX (1ull << 30)

struct options {
	const char *run, *exit_file, *control, *dir;
	long uid, limit_s, grace_s; /* uid -1: stay */
	char **program;
};

struct child {
	pid_t pid;
	int control, signals;
	bool is_stopped;   /* has had its SIGINT */
	long long next_ms; /* the limit, or then the end of the grace */
};

static int parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "run", required_argument, NULL, 'r' },
		{ "exit", required_argument, NULL, 'e' },
		{ "control", required_argument, NULL, 'c' },
		{ "dir", required_argument, NULL, 'd' },
		{ "uid", required_argument, NULL, 'u' },
		{ "limit", required_argument, NULL, 'l' },
		{ "grace", required_argument, NULL, 'g' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
		if (option == 'r')
			options->run = optarg;
		else if (option == 'e')
			options->exit_file = optarg;
		else if (option == 'c')
			options->control = optarg;
		else if (option == 'd')
			options->dir = optarg;
		else if (option == 'u')
			options->uid = strtol(optarg, NULL, 10);
		else if (option == 'l')
			options->limit_s = strtol(optarg, NULL, 10);
		else if (option == 'g')
			options->grace_s = strtol(optarg, NULL, 10);
		else
			return -1;
	}
	options->program = argv + optind;
	return options->run && options->exit_file && options->control && options->dir &&
			       *options->program
		       ? 0
		       : -1;
}

static bool drop(const struct options *options)
{
	uid_t uid = (uid_t)options->uid;

	if (options->uid < 0)
		return true;
	return setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 &&
	       setresuid(uid, uid, uid) == 0;
}

/* Of the program. It ends, as if asked, with us: then nobody would ever ask it. */
static void __attribute__((noreturn)) become(const struct options *options, pid_t parent)
{
	const struct rlimit none = { 0, 0 }, files = { FILES_MAX, FILES_MAX },
			    size = { FILE_SIZE_MAX, FILE_SIZE_MAX };
	sigset_t empty;

	sigemptyset(&empty);
	if (setpgid(0, 0) == 0 && drop(options) && prctl(PR_SET_PDEATHSIG, SIGINT) == 0 &&
		getppid() == parent && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		setrlimit(RLIMIT_CORE, &none) == 0 && setrlimit(RLIMIT_NOFILE, &files) == 0 &&
		setrlimit(RLIMIT_FSIZE, &size) == 0 && chdir(options->dir) == 0) {
		umask(0077);
		sigprocmask(SIG_SETMASK, &empty, NULL);
		execv(options->program[0], options->program);
	}
	perror(options->program[0]);
	_exit(EXIT_NOT_RUN);
}

static void stop(const struct options *options, struct child *child)
{
	if (child->is_stopped)
		return;
	child->is_stopped = true;
	child->next_ms = clock_monotonic_ms() + options->grace_s * 1000;
	kill(child->pid, SIGINT);
}

/* Whatever else comes in is for nobody. */
static void hear(const struct options *options, struct child *child)
{
	struct signalfd_siginfo info;
	char letters[16];
	ssize_t got = read(child->control, letters, sizeof(letters));

	if (got > 0 && memchr(letters, 'i', (size_t)got))
		stop(options, child);
	while (read(child->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			stop(options, child);
	}
}

static int watch(const struct options *options, struct child *child)
{
	struct pollfd wait[] = { { child->control, POLLIN, 0 }, { child->signals, POLLIN, 0 } };
	int status;

	while (waitpid(child->pid, &status, WNOHANG) != child->pid) {
		long long left_ms = child->next_ms - clock_monotonic_ms();

		if (left_ms <= 0 && child->is_stopped) {
			kill(-child->pid, SIGKILL);
			left_ms = 1000;
		} else if (left_ms <= 0) {
			stop(options, child);
			continue;
		}
		(void)poll(wait, 2, (int)(left_ms < 60000 ? left_ms : 60000));
		hear(options, child);
	}
	kill(-child->pid, SIGKILL); /* plugins that outlived it */
	return status;
}

static int tell(const struct options *options, const struct child *child, int status)
{
	auto_free char *text =
		mem_printf("%s %s %d%s\n", options->run, WIFEXITED(status) ? "exited" : "signalled",
			WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
			child->is_stopped ? " stopped" : "");

	return buf_write_file(options->exit_file, text, strlen(text), 0600, NULL);
}

/* No child of his: he need not wait, and may be gone. He hears of what went wrong up to here. */
static int leave_caller(void)
{
	pid_t pid = fork();

	if (pid > 0)
		_exit(0);
	return pid < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct options options = { .uid = -1, .limit_s = 1800, .grace_s = 600 };
	struct child child = { .control = -1 };
	pid_t self;
	sigset_t heard;

	if (parse(argc, argv, &options) < 0)
		return 2;
	prctl(PR_SET_DUMPABLE, 0);
	sigemptyset(&heard);
	sigaddset(&heard, SIGCHLD);
	sigaddset(&heard, SIGTERM);
	sigaddset(&heard, SIGINT);
	sigprocmask(SIG_SETMASK, &heard, NULL);
	child.signals = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
	child.control = open(options.control, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (child.signals < 0 || child.control < 0)
		return EXIT_NOT_RUN;
	if (leave_caller() < 0)
		return EXIT_NOT_RUN;
	self = getpid();
	child.next_ms = clock_monotonic_ms() + options.limit_s * 1000;
	child.pid = fork();
	if (child.pid == 0)
		become(&options, self);
	if (child.pid < 0)
		return EXIT_NOT_RUN;
	return tell(&options, &child, watch(&options, &child)) < 0 ? 1 : 0;
}
