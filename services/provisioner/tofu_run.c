/* SPDX-License-Identifier: Apache-2.0 */
/* A lock that is inherited, a FIFO to ask by, and three files that say the rest. */
#include "services/provisioner/tofu_run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/crash.h"
#include "lib/mem.h"
#include "services/provisioner/tofu_state.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_user.h"

#define LOCK_FD 3
#define MOST_ENV 64u
#define MOST_ARGS 48u

static char *path_of(const struct driver_place *place, const char *name)
{
	return mem_printf("%s/%s", place->folder, name);
}

/* --- whether one lives --- */

/* *ret_fd -1: something of a run has the lock. */
static int try_lock(const struct driver_place *place, int *ret_fd, struct err *err)
{
	auto_free char *path = path_of(place, "run.lock");
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	*ret_fd = -1;
	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		*ret_fd = take_fd(fd);
	else if (errno != EWOULDBLOCK)
		return err_errno(err, "lock '%s'", path);
	return 0;
}

int tofu_run_lives(const struct driver_place *place, bool *ret_lives, struct err *err)
{
	auto_fd int fd = -1;

	*ret_lives = false;
	if (access(place->folder, F_OK) < 0)
		return 0;
	if (try_lock(place, &fd, err) < 0)
		return -1;
	*ret_lives = fd < 0;
	return 0;
}

void tofu_run_stop(const struct driver_place *place)
{
	auto_free char *path = path_of(place, "control");
	auto_fd int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0) /* else nobody reads there any more */
		(void)!write(fd, "i", 1);
}

void tofu_run_kill(const struct driver_place *place)
{
	auto_free char *work = path_of(place, "working");
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		auto_free char *link = mem_printf("/proc/%d/cwd", pid);
		char cwd[PATH_MAX];
		ssize_t len = pid > 1 ? readlink(link, cwd, sizeof(cwd)) : -1;

		if (len == (ssize_t)strlen(work) && memcmp(cwd, work, (size_t)len) == 0)
			kill(pid, SIGKILL);
	}
	if (proc)
		closedir(proc);
}

/* --- starting one --- */

struct lines {
	char *at[MOST_ENV];
	size_t n;
};

static void lines_release(struct lines *lines)
{
	for (size_t i = 0; i < lines->n; i++)
		mem_wipe_free(lines->at[i], strlen(lines->at[i]));
}
#define auto_lines __attribute__((cleanup(lines_release))) struct lines

#define ADD(lines, ...)                                                                            \
	do {                                                                                       \
		if ((lines)->n < MOST_ENV - 1)                                                     \
			(lines)->at[(lines)->n++] = mem_printf(__VA_ARGS__);                       \
	} while (0)

/* Nothing of our own environment. */
static int make_env(const struct driver_place *place, const struct tofu_run *run, struct lines *env,
	struct err *err)
{
	const char *address = place->conf->tofu_listen;
	char password[TOFU_PASSWORD_SIZE];

	if (strncmp(address, "tcp:", 4) == 0)
		address += 4;
	if (tofu_state_password(place->conf, place->sandbox_id, run->number, password, err) < 0)
		return -1;
	ADD(env, "PATH=/usr/bin:/bin");
	ADD(env, "LANG=C.UTF-8");
	ADD(env, "HOME=%s/working", place->folder);
	ADD(env, "TMPDIR=%s/working/tmp", place->folder);
	ADD(env, "TF_IN_AUTOMATION=1");
	ADD(env, "TF_INPUT=0");
	ADD(env, "CHECKPOINT_DISABLE=1");
	ADD(env, "TF_DATA_DIR=%s/working/.terraform", place->folder);
	ADD(env, "TF_CLI_CONFIG_FILE=%s/working/cli.tfrc", place->folder);
	ADD(env, "TF_HTTP_ADDRESS=http://%s/tofu/%s", address, place->sandbox_id);
	ADD(env, "TF_HTTP_LOCK_ADDRESS=http://%s/tofu/%s", address, place->sandbox_id);
	ADD(env, "TF_HTTP_UNLOCK_ADDRESS=http://%s/tofu/%s", address, place->sandbox_id);
	ADD(env, "TF_HTTP_RETRY_MAX=8");
	ADD(env, "TF_HTTP_USERNAME=%lld", run->number);
	ADD(env, "TF_HTTP_PASSWORD=%s", password);
	explicit_bzero(password, sizeof(password));
	for (const char *const *secret = run->secrets; *secret; secret++)
		ADD(env, "%s", *secret);
	return 0;
}

static int spawn(const struct driver_place *place, const char *const *argv, char *const *env,
	int lock, struct err *err)
{
	auto_free char *out = path_of(place, "out"), *errors = path_of(place, "err");
	const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW;
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int status = 0;
	sigset_t none;
	pid_t pid;

	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out, flags, 0600);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, errors, flags, 0600);
	posix_spawn_file_actions_adddup2(&files, lock, LOCK_FD);
	errno = posix_spawn(
		&pid, argv[0], &files, &attributes, (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	if (errno != 0)
		return err_set(err, ERR_INTERNAL, "tofu.no_program", "cannot start '%s': %s",
			argv[0], strerror(errno));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status == 0 ? 0
			   : err_set(err, ERR_INTERNAL, "tofu.no_program",
				     "'%s' could not begin, see '%s'", argv[0], errors);
}

static int make_control(const char *path, struct err *err)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(err, "remove '%s'", path);
	return mkfifo(path, 0600) < 0 ? err_errno(err, "make '%s'", path) : 0;
}

static size_t add_all(const char **argv, size_t n, const char *const *more)
{
	for (; *more && n < MOST_ARGS - 1; more++)
		argv[n++] = *more;
	return n;
}

int tofu_run_start(const struct driver_place *place, const struct tofu_run *run, struct err *err)
{
	const struct provisioner_conf *conf = place->conf;
	auto_free char *number = mem_printf("%lld", run->number);
	auto_free char *uid = mem_printf("%ld", vm_is_root() ? (long)place->uid : -1l);
	auto_free char *limit = mem_printf("%ld", conf->tofu_limit_ms / 1000);
	auto_free char *grace = mem_printf("%ld", conf->tofu_grace_ms / 1000);
	auto_free char *control = path_of(place, "control"), *end = path_of(place, "exit");
	auto_free char *dir = path_of(place, "working");
	const char *argv[MOST_ARGS] = { conf->runner };
	auto_lines env = { .n = 0 };
	auto_fd int lock = -1;

	if (try_lock(place, &lock, err) < 0)
		return -1;
	if (lock < 0)
		return err_set(err, ERR_UNAVAILABLE, "tofu.lives", "a run of tofu still lives");
	lock = vm_files_raise(lock);
	if (make_control(control, err) < 0 || make_env(place, run, &env, err) < 0)
		return -1;
	add_all(argv,
		add_all(argv, 1,
			(const char *const[]) { "--run", number, "--exit", end, "--control",
				control, "--dir", dir, "--uid", uid, "--limit", limit, "--grace",
				grace, "--", conf->tofu, NULL }),
		run->argv);
	crash_point("before", "spawn");
	return spawn(place, argv, env.at, lock, err);
}

/* --- and what became of it --- */

int tofu_run_result(const struct driver_place *place, long long number,
	struct tofu_result *ret_result, struct err *err)
{
	auto_free char *path = path_of(place, "exit");
	auto_buf text = BUF_INIT(128);
	char how[16] = "", stopped[16] = "";
	long long run = 0;
	bool lives;
	int value = 0;

	if (tofu_run_lives(place, &lives, err) < 0)
		return -1;
	*ret_result = (struct tofu_result) { .end = lives ? TOFU_LIVES : TOFU_LOST };
	if (lives || buf_read_file(&text, path, NULL) < 0 || buf_add(&text, "", 1, NULL) < 0)
		return 0;
	if (sscanf((const char *)text.data, "%lld %15s %d %15s", &run, how, &value, stopped) < 3 ||
		run != number)
		return 0;
	ret_result->end = TOFU_DONE;
	ret_result->status = strcmp(how, "exited") == 0 ? value : -1;
	ret_result->is_stopped = strcmp(stopped, "stopped") == 0;
	return 0;
}

int tofu_run_output(const struct driver_place *place, const char *name, struct buf *ret_output)
{
	auto_free char *path = path_of(place, name);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char piece[8192];
	ssize_t got = 0;

	while (fd >= 0 && (got = read(fd, piece, sizeof(piece))) > 0) {
		if (buf_add(ret_output, piece, (size_t)got, NULL) < 0)
			return -1;
	}
	return fd < 0 || got < 0 ? -1 : 0;
}
