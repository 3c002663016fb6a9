/* SPDX-License-Identifier: Apache-2.0 */
/* Found in /proc, so that it is the same for cgroup v1 and v2. */
#include "services/provisioner/vm_cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/mem.h"

#define CGROUP_MAX 16384
#define ROUNDS 200
#define PAUSE_US 20000

static bool is_in(pid_t pid, const char *name)
{
	auto_free char *path = mem_printf("/proc/%d/cgroup", (int)pid);
	auto_free char *end_of_line = mem_printf("/%s\n", name);
	auto_free char *folder = mem_printf("/%s/", name);
	auto_buf text = BUF_INIT(CGROUP_MAX);

	if (buf_read_file(&text, path, NULL) < 0 || buf_add(&text, "", 1, NULL) < 0)
		return false;
	return strstr((const char *)text.data, end_of_line) ||
	       strstr((const char *)text.data, folder);
}

/* The pidfd is of whoever has the pid now: look again before it is used. */
static void kill_one(pid_t pid, const char *name)
{
	auto_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd >= 0 && is_in(pid, name))
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

static int kill_all(const char *name, size_t *ret_count, struct err *err)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	*ret_count = 0;
	if (!proc)
		return err_errno(err, "open /proc");
	while ((entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid <= 1 || !is_in(pid, name))
			continue;
		++*ret_count;
		kill_one(pid, name);
	}
	closedir(proc);
	return 0;
}

/* v2 has one hierarchy, v1 one folder for each. */
static int remove_groups(const char *name, struct err *err)
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
			if (rmdir(found.gl_pathv[k]) < 0 && errno != ENOENT)
				r = err_errno(err, "remove '%s'", found.gl_pathv[k]);
		}
		globfree(&found);
	}
	return r;
}

int vm_cgroup_end(const char *name, struct err *err)
{
	size_t count;

	for (int i = 0; i < ROUNDS; i++) {
		if (kill_all(name, &count, err) < 0)
			return -1;
		if (count == 0 && remove_groups(name, NULL) == 0)
			return 0;
		usleep(PAUSE_US); /* the kernel counts the last task out a moment later */
	}
	if (count > 0)
		return err_set(err, ERR_TIMEOUT, "sandbox.will_not_end",
			"processes of '%s' survive", name);
	return remove_groups(name, err);
}
