/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's monitor is a pipe: it is asked for the upper part of the guest's memory until a log with
 * the PEI volume's digest is found there, and then to quit.
 */
#include "client/learn.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/event_log.h"
#include "lib/id.h"
#include "lib/mem.h"

#define LIMIT_MS 180000
#define POLL_MS 3000
#define LOG_MAX 8192u		  /* so much of a log has its first events */
#define SEARCH_BYTES (128u << 20) /* firmware allocates from the top */
#define LOW_LIMIT_MIB 2816	  /* as in kernel_image.c: from here on, */
#define LOW_SPLIT_MIB 2048	  /* so much is below 4 GiB */

extern char **environ;

struct learner {
	char folder[32];
	char *socket, *dump;
	pid_t swtpm, qemu;
	int monitor; /* QEMU's stdin */
};

static int failed(const char *what, struct err *err)
{
	return err_set(err, ERR_INTERNAL, "learn.failed", "%s", what);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
	(void)info;
	(void)type;
	(void)at;
	return remove(path);
}

static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void learner_release(struct learner *learner)
{
	if (learner->monitor >= 0)
		close(learner->monitor);
	end(learner->qemu);
	end(learner->swtpm);
	if (*learner->folder)
		nftw(learner->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(learner->socket);
	free(learner->dump);
}
#define auto_learner __attribute__((cleanup(learner_release))) struct learner

/* --- programs --- */

static int start(char *const argv[], int in, pid_t *ret_pid, struct err *err)
{
	posix_spawn_file_actions_t actions;
	int failure;

	posix_spawn_file_actions_init(&actions);
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	else
		posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	failure = posix_spawnp(ret_pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (failure)
		return err_set(err, ERR_INTERNAL, "learn.failed", "cannot start '%s': %s", argv[0],
			strerror(failure));
	return 0;
}

static int start_tpm(struct learner *learner, struct err *err)
{
	auto_free char *state = mem_printf("dir=%s", learner->folder),
		       *control = mem_printf("type=unixio,path=%s", learner->socket);
	char program[] = "swtpm", socket[] = "socket", tpm2[] = "--tpm2", where[] = "--tpmstate",
	     how[] = "--ctrl";
	char *argv[] = { program, socket, tpm2, where, state, how, control, NULL };

	if (start(argv, -1, &learner->swtpm, err) < 0)
		return -1;
	for (unsigned tries = 0; access(learner->socket, F_OK) < 0; tries++) {
		if (tries > 500 || waitpid(learner->swtpm, NULL, WNOHANG) != 0)
			return failed("swtpm did not start", err);
		usleep(20000);
	}
	return 0;
}

static int start_vm(struct learner *learner, const struct reference_files *files, struct err *err)
{
	auto_free char *command = mem_printf(
		"exec qemu-system-x86_64 -machine q35,accel=tcg,smm=off -cpu max -smp %lld "
		"-m %lld -display none -nodefaults -no-user-config -no-reboot -monitor stdio "
		"-drive if=pflash,format=raw,unit=0,readonly=on,file=\"$1\" -chardev "
		"socket,id=c,path=\"$2\" -tpmdev emulator,id=t,chardev=c -device tpm-crb,tpmdev=t",
		files->vcpus, files->memory_mib);
	auto_free char *firmware = mem_strdup(files->firmware);
	char shell[] = "/bin/sh", option[] = "-c", name[] = "learn";
	char *argv[] = { shell, option, command, name, firmware, learner->socket, NULL };
	auto_fd int in = -1;
	int ends[2];

	if (strchr(firmware, ','))
		return failed("QEMU takes no firmware with a comma in its path", err);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, "make a pipe");
	in = ends[0];
	learner->monitor = ends[1];
	return start(argv, in, &learner->qemu, err);
}

/* --- the guest's memory --- */

/* The first events of a log at `at`; its end is not known, so that its lengths are tried. */
static bool read_log(const unsigned char *at, size_t left, char *ret_hex)
{
	struct event_log log = { .count = 0 };
	const struct event *event;
	bool found = false;

	for (size_t len = 64; len <= LOG_MAX && len <= left && !found; len++) {
		if (event_log_parse(at, len, &log, NULL) < 0)
			continue;
		event = event_log_find(&log, 0, EVENT_FIRMWARE_VOLUME, 0);
		found = event && event_log_find(&log, 0, EVENT_FIRMWARE_VOLUME, 1);
		if (found)
			codec_hex(event->digest, DIGEST_SIZE, ret_hex);
		event_log_release(&log);
	}
	return found;
}

/* The text stands in the firmware's code too, where no log is around it. */
static bool search(const unsigned char *memory, size_t size, char *ret_hex)
{
	static const char text[] = "Spec ID Event03";
	const unsigned char *at = memory, *end_of = memory + size;

	while ((at = memmem(at, (size_t)(end_of - at), text, sizeof(text)))) {
		if (at - memory >= 32 && read_log(at - 32, (size_t)(end_of - at) + 32, ret_hex))
			return true;
		at++;
	}
	return false;
}

/* QEMU may be writing it: what is read then has no log, or a whole one. */
static bool search_dump(const char *path, char *ret_hex)
{
	auto_buf memory = BUF_INIT(SEARCH_BYTES);

	return buf_read_file(&memory, path, NULL) == 0 && memory.len > 0 &&
	       search(memory.data, memory.len, ret_hex);
}

static int ask_memory(struct learner *learner, long long memory_mib, struct err *err)
{
	long long below = memory_mib < LOW_LIMIT_MIB ? memory_mib : LOW_SPLIT_MIB,
		  top = below << 20;
	long long size = top < SEARCH_BYTES ? top : SEARCH_BYTES;

	if (waitpid(learner->qemu, NULL, WNOHANG) != 0) {
		learner->qemu = 0;
		return failed("QEMU ended", err);
	}
	if (dprintf(learner->monitor, "pmemsave %lld %lld \"%s\"\n", top - size, size,
		    learner->dump) < 0)
		return failed("QEMU's monitor is gone", err);
	return 0;
}

static int watch(struct learner *learner, long long memory_mib, char *ret_hex, struct err *err)
{
	long long until = clock_monotonic_ms() + LIMIT_MS;

	while (clock_monotonic_ms() < until) {
		if (ask_memory(learner, memory_mib, err) < 0)
			return -1;
		usleep(POLL_MS * 1000);
		if (search_dump(learner->dump, ret_hex))
			return 0;
	}
	return err_set(err, ERR_TIMEOUT, "client.timeout",
		"the firmware measured nothing within %d s", LIMIT_MS / 1000);
}

int learn_pei(const struct reference_files *files, char ret_hex[CODEC_HEX_SIZE(DIGEST_SIZE)],
	struct err *err)
{
	auto_learner learner = { .monitor = -1 };

	snprintf(learner.folder, sizeof(learner.folder), "/tmp/strongroom-XXXXXX");
	if (!mkdtemp(learner.folder)) {
		*learner.folder = '\0';
		return err_errno(err, "make a folder in /tmp");
	}
	learner.socket = mem_printf("%s/tpm", learner.folder);
	learner.dump = mem_printf("%s/memory", learner.folder);
	if (start_tpm(&learner, err) < 0 || start_vm(&learner, files, err) < 0)
		return -1;
	return watch(&learner, files->memory_mib, ret_hex, err);
}
