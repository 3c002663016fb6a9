/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and ending by note, by arguments, and by a pidfd. */
#include "services/provisioner/vm_process.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/id.h"
#include "lib/mem.h"

#define CMDLINE_MAX 65536
#define NOTE_MAX 128
#define TERM_MS 5000
#define KILL_MS 10000
#define MOST 8 /* processes of one sandbox at a time */

/* Clock ticks from the host's boot to this process's start; 0 when it is gone or a zombie. */
static unsigned long long started(pid_t pid)
{
	auto_free char *path = mem_printf("/proc/%d/stat", pid);
	auto_buf text = BUF_INIT(4096);
	unsigned long long ticks = 0;
	const char *rest;
	char state = 'Z';

	if (buf_read_file(&text, path, NULL) < 0 || buf_add(&text, "", 1, NULL) < 0)
		return 0;
	rest = strrchr((const char *)text.data, ')'); /* a name may hold anything */
	if (!rest || sscanf(rest, ") %c", &state) != 1 || state == 'Z' || state == 'X')
		return 0;
	/* state is field 3, the start time field 22 */
	return sscanf(rest,
		       ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		       "%*s %llu",
		       &ticks) == 1
		       ? ticks
		       : 0;
}

/* "pid start boot\n", what vm_process_note() writes; an empty text when the process is gone. */
static char *note_of(pid_t pid)
{
	unsigned long long ticks = pid > 1 ? started(pid) : 0;
	auto_buf boot = BUF_INIT(64);

	if (ticks == 0 || buf_read_file(&boot, "/proc/sys/kernel/random/boot_id", NULL) < 0 ||
		buf_add(&boot, "", 1, NULL) < 0)
		return mem_strdup("");
	return mem_printf("%d %llu %s", pid, ticks, (const char *)boot.data);
}

int vm_process_note(const char *pid_file, pid_t pid, struct err *err)
{
	auto_free char *note = note_of(pid);

	return buf_replace_file(pid_file, note, strlen(note), 0644, err);
}

/* The process of the note, if it is still that one. */
static pid_t noted(const char *pid_file)
{
	auto_buf text = BUF_INIT(NOTE_MAX);
	auto_free char *now = NULL;
	pid_t pid;

	if (buf_read_file(&text, pid_file, NULL) < 0 || buf_add(&text, "", 1, NULL) < 0)
		return 0;
	pid = (pid_t)strtol((const char *)text.data, NULL, 10);
	now = note_of(pid);
	return *now && strcmp(now, (const char *)text.data) == 0 ? pid : 0;
}

/* The first of a process's arguments, in `text`, up to *ret_end; NULL when it has none. */
static const char *read_arguments(pid_t pid, struct buf *text, const char **ret_end)
{
	auto_free char *path = mem_printf("/proc/%d/cmdline", pid);

	if (buf_read_file(text, path, NULL) < 0 || text->len == 0 || buf_add(text, "", 1, NULL) < 0)
		return NULL;
	*ret_end = (const char *)text->data + text->len;
	return (const char *)text->data;
}

/* Whether the arguments are such a process's, or of the launcher that is about to become it. */
static bool is_named(pid_t pid, const struct vm_process *process)
{
	bool is_program = false, is_name = false;
	auto_buf text = BUF_INIT(CMDLINE_MAX);
	const char *end, *arg = read_arguments(pid, &text, &end);

	for (; arg && arg < end; arg += strlen(arg) + 1) {
		if (is_program && is_name && strcmp(arg, process->name) == 0)
			return started(pid) > 0;
		is_name = strcmp(arg, process->option) == 0;
		is_program = is_program || strstr(arg, process->program);
	}
	return false;
}

static int search(const struct vm_process *process, pid_t *ret_pid, struct err *err)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	if (!proc)
		return err_errno(err, "open /proc");
	*ret_pid = 0;
	while (*ret_pid == 0 && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 1 && is_named(pid, process))
			*ret_pid = pid;
	}
	closedir(proc);
	return 0;
}

int vm_process_find(const struct vm_process *process, pid_t *ret_pid, struct err *err)
{
	*ret_pid = noted(process->note);
	return *ret_pid > 0 ? 0 : search(process, ret_pid, err);
}

static bool ends_within(int pidfd, int limit_ms)
{
	struct pollfd wait = { .fd = pidfd, .events = POLLIN };

	return poll(&wait, 1, limit_ms) == 1;
}

bool vm_process_ends(pid_t pid, int limit_ms)
{
	auto_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	return pidfd < 0 || ends_within(pidfd, limit_ms);
}

static int end_one(const struct vm_process *process, pid_t pid, struct err *err)
{
	auto_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	/* The pidfd is of whoever has the pid now: look again before it is used. */
	if (pidfd < 0 || (noted(process->note) != pid && !is_named(pid, process)))
		return 0;
	syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
	if (ends_within(pidfd, TERM_MS))
		return 0;
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	if (ends_within(pidfd, KILL_MS))
		return 0;
	return err_set(err, ERR_TIMEOUT, "sandbox.will_not_end", "process %d does not end", pid);
}

int vm_process_end(const struct vm_process *process, struct err *err)
{
	for (int i = 0; i < MOST; i++) {
		pid_t pid;

		if (vm_process_find(process, &pid, err) < 0)
			return -1;
		if (pid == 0)
			return 0;
		if (end_one(process, pid, err) < 0)
			return -1;
	}
	return err_set(err, ERR_TIMEOUT, "sandbox.will_not_end", "more than %d processes", MOST);
}

/* The id behind "<folder>/" in one argument. */
static bool id_in(const char *argument, const char *folder, char ret_id[ID_SIZE])
{
	const char *at = strstr(argument, folder);

	if (!at || at[strlen(folder)] != '/')
		return false;
	at += strlen(folder) + 1;
	snprintf(ret_id, ID_SIZE, "%.*s", (int)strcspn(at, "/,"), at);
	return id_is(ret_id, "sbx");
}

static bool id_of(pid_t pid, const char *folder, char ret_id[ID_SIZE])
{
	auto_buf text = BUF_INIT(CMDLINE_MAX);
	const char *end, *arg = read_arguments(pid, &text, &end);

	for (; arg && arg < end; arg += strlen(arg) + 1) {
		if (id_in(arg, folder, ret_id))
			return true;
	}
	return false;
}

int vm_process_list(const char *folder,
	int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
	struct err *err)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	char id[ID_SIZE];
	int r = 0;

	if (!proc)
		return err_errno(err, "open /proc");
	while (r == 0 && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 1 && id_of(pid, folder, id))
			r = on_id(arg, id, err);
	}
	closedir(proc);
	return r;
}
