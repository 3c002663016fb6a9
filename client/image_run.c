/* SPDX-License-Identifier: Apache-2.0 */
/* posix_spawn(3) with the three standard descriptors replaced; everything else of ours is
 * close-on-exec. */
#include "client/image_run.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/mem.h"

#define TAIL 170

static pid_t start(const char *const *argv, const char *log)
{
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;
	int failed;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(
		&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
	failed = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	errno = failed;
	return failed ? -1 : pid;
}

static bool finish(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return false;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The last words of the log on one line. */
static void read_tail(const char *log, char ret_text[TAIL + 1])
{
	auto_fd int fd = open(log, O_RDONLY | O_CLOEXEC);
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	ssize_t len = 0;

	if (fd >= 0)
		len = pread(fd, ret_text, TAIL, end > TAIL ? end - TAIL : 0);
	ret_text[len > 0 ? len : 0] = '\0';
	for (char *at = ret_text; *at; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = ' ';
	}
}

int image_run(const char *const *argv, const char *log, const char *code, struct err *err)
{
	pid_t pid = start(argv, log);
	char tail[TAIL + 1];

	if (pid < 0)
		return err_set(
			err, ERR_UNPROCESSABLE, code, "start %s: %s", argv[0], strerror(errno));
	if (finish(pid))
		return 0;
	read_tail(log, tail);
	return err_set(err, ERR_UNPROCESSABLE, code, "%s: … %s", argv[0], tail);
}

bool image_run_works(const char *const *argv, const char *log)
{
	pid_t pid = start(argv, log);

	return pid > 0 && finish(pid);
}
