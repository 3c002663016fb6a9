/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and ending QEMU by its arguments and a pidfd. */
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
#include "lib/mem.h"

#define CMDLINE_MAX 65536
#define TERM_MS 5000
#define KILL_MS 10000

int vm_process_note(const char *pid_file, pid_t pid, struct err *err)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%d\n", pid);

	return buf_write_file(pid_file, text, (size_t)len, 0644, err);
}

/* Whether the process's arguments are a QEMU's with "-name <sandbox id>". */
static bool is_vm(pid_t pid, const char *sandbox_id)
{
	auto_free char *path = mem_printf("/proc/%d/cmdline", pid);
	auto_buf text = BUF_INIT(CMDLINE_MAX);
	const char *arg, *end;
	bool named = false;

	if (buf_read_file(&text, path, NULL) < 0 || text.len == 0)
		return false;
	arg = (const char *)text.data;
	end = arg + text.len;
	if (!strstr(arg, "qemu-system"))
		return false;
	for (; arg < end; arg += strlen(arg) + 1) {
		if (named)
			return strcmp(arg, sandbox_id) == 0;
		named = strcmp(arg, "-name") == 0;
	}
	return false;
}

static pid_t noted(const char *pid_file)
{
	auto_buf text = BUF_INIT(64);

	return buf_read_file(&text, pid_file, NULL) == 0 && text.len
		       ? (pid_t)strtol((const char *)text.data, NULL, 10)
		       : 0;
}

static int search(const char *sandbox_id, pid_t *ret_pid, struct err *err)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	if (!proc)
		return err_errno(err, "open /proc");
	*ret_pid = 0;
	while (*ret_pid == 0 && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 1 && is_vm(pid, sandbox_id))
			*ret_pid = pid;
	}
	closedir(proc);
	return 0;
}

int vm_process_find(const char *pid_file, const char *sandbox_id, pid_t *ret_pid, struct err *err)
{
	pid_t pid = noted(pid_file);

	if (pid > 1 && is_vm(pid, sandbox_id)) {
		*ret_pid = pid;
		return 0;
	}
	return search(sandbox_id, ret_pid, err);
}

static bool ends_within(int pidfd, int limit_ms)
{
	struct pollfd wait = { .fd = pidfd, .events = POLLIN };

	return poll(&wait, 1, limit_ms) == 1;
}

int vm_process_end(const char *pid_file, const char *sandbox_id, struct err *err)
{
	auto_fd int pidfd = -1;
	pid_t pid;

	if (vm_process_find(pid_file, sandbox_id, &pid, err) < 0)
		return -1;
	if (pid > 0)
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	/* The pidfd is of whoever has the pid now: look again before it is used. */
	if (pidfd < 0 || !is_vm(pid, sandbox_id))
		return 0;
	syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
	if (ends_within(pidfd, TERM_MS))
		return 0;
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	if (ends_within(pidfd, KILL_MS))
		return 0;
	return err_set(err, ERR_TIMEOUT, "sandbox.will_not_end", "process %d does not end", pid);
}
