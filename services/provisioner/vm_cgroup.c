/* SPDX-License-Identifier: Apache-2.0 */
/* By the groups' own lists: cgroup v2 has one hierarchy, v1 one folder for each. */
#include "services/provisioner/vm_cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/mem.h"

#define LIST_MAX (1 << 20)
#define ROUNDS 200
#define PAUSE_MS 20 /* the kernel counts the last task out a moment later */
#define END_MS 20   /* for each process; the rounds wait for what takes longer */

static bool is_in(pid_t pid, const char *name)
{
	auto_free char *path = mem_printf("/proc/%d/cgroup", (int)pid);
	auto_free char *end_of_line = mem_printf("/%s\n", name);
	auto_free char *folder = mem_printf("/%s/", name);
	auto_buf text = BUF_INIT(LIST_MAX);

	if (buf_read_file(&text, path, NULL) < 0 || buf_add(&text, "", 1, NULL) < 0)
		return false;
	return strstr((const char *)text.data, end_of_line) ||
	       strstr((const char *)text.data, folder);
}

/* The pidfd is of whoever has the pid now: look again before it is used. */
static void kill_one(pid_t pid, const char *name)
{
	auto_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd wait = { .fd = pidfd, .events = POLLIN };

	if (pidfd >= 0 && is_in(pid, name) &&
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0)
		poll(&wait, 1, END_MS);
}

static void kill_all(const char *group, const char *name)
{
	auto_free char *path = mem_printf("%s/cgroup.procs", group);
	auto_buf list = BUF_INIT(LIST_MAX);
	char *at, *end;
	long pid;

	if (buf_read_file(&list, path, NULL) < 0 || buf_add(&list, "", 1, NULL) < 0)
		return;
	for (at = (char *)list.data; (pid = strtol(at, &end, 10)) > 1; at = end)
		kill_one((pid_t)pid, name);
}

/* With the groups in it; -1 with errno when it is still there. */
static int end_group(const char *group, const char *name)
{
	DIR *folder = opendir(group);
	const struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		auto_free char *path = mem_printf("%s/%s", group, entry->d_name);

		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			(void)end_group(path, name);
	}
	if (folder)
		closedir(folder);
	kill_all(group, name);
	return rmdir(group) < 0 && errno != ENOENT ? -1 : 0;
}

static int end_groups(const char *name)
{
	auto_free char *one = mem_printf("/sys/fs/cgroup/%s", name);
	auto_free char *each = mem_printf("/sys/fs/cgroup/*/%s", name);
	const char *const patterns[] = { one, each };
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		glob_t found;

		if (glob(patterns[i], 0, NULL, &found) != 0)
			continue;
		for (size_t k = 0; k < found.gl_pathc; k++) {
			if (end_group(found.gl_pathv[k], name) < 0)
				r = -1;
		}
		globfree(&found);
	}
	return r;
}

int vm_cgroup_end(const char *name, struct err *err)
{
	for (int i = 0; i < ROUNDS; i++) {
		if (end_groups(name) == 0)
			return 0;
		poll(NULL, 0, PAUSE_MS);
	}
	return err_set(err, ERR_TIMEOUT, "sandbox.will_not_end",
		"the control group '%s' does not end", name);
}

static int write_to(const char *folder, const char *file, long long value)
{
	auto_free char *path = mem_printf("%s/%s", folder, file);
	auto_free char *text = mem_printf("%lld", value);
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) > 0 ? 0 : -1;
}

/* One hierarchy, which may lack the limit: a controller that was not delegated. */
static bool join(
	const char *hierarchy, const char *name, pid_t pid, const char *file, long long most)
{
	auto_free char *folder = mem_printf("%s/%s", hierarchy, name);

	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return false;
	(void)write_to(folder, file, most);
	return write_to(folder, "cgroup.procs", pid) == 0;
}

int vm_cgroup_begin(const char *name, pid_t pid, long long memory, long long pids, struct err *err)
{
	bool is_in_one;

	if (access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0) {
		is_in_one = join("/sys/fs/cgroup", name, pid, "memory.max", memory) &&
			    join("/sys/fs/cgroup", name, pid, "pids.max", pids);
	} else {
		is_in_one =
			join("/sys/fs/cgroup/memory", name, pid, "memory.limit_in_bytes", memory);
		is_in_one = join("/sys/fs/cgroup/pids", name, pid, "pids.max", pids) || is_in_one;
	}
	return is_in_one ? 0 : err_errno(err, "put the sandbox into a control group");
}
