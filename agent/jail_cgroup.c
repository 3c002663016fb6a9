/* SPDX-License-Identifier: Apache-2.0 */
/* The app's cgroup (v2): memory and processes are limited for all of it together, and it is killed
 * as one. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/jail_inner.h"
#include "lib/mem.h"

static int write_file(const char *path, const char *file, const char *value, struct err *err)
{
	auto_free char *full = mem_printf("%s/%s", path, file);
	auto_fd int fd = open(full, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return err_errno(err, "write %s", full);
	return 0;
}

static int write_number(const char *path, const char *file, long long value, struct err *err)
{
	auto_free char *text = mem_printf("%lld", value);

	return write_file(path, file, text, err);
}

/* One more process than the app may have: the helper. */
int jail_cgroup_make(const char *path, const struct jail_limits *limits, struct err *err)
{
	rmdir(path); /* of a run before */
	if (mkdir(path, 0755) < 0)
		return err_errno(err, "make %s", path);
	if (write_number(path, "memory.max", limits->memory_bytes, err) < 0 ||
		write_file(path, "memory.oom.group", "1", err) < 0 ||
		write_number(path, "pids.max", limits->pids + 1, err) < 0)
		return -1;
	return 0;
}

int jail_cgroup_open(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_errno(err, "open %s", path) : fd;
}

void jail_cgroup_kill(const char *path)
{
	(void)write_file(path, "cgroup.kill", "1", NULL);
}

long long jail_cgroup_count(const char *path, const char *file, const char *key)
{
	auto_free char *full = mem_printf("%s/%s", path, file);
	auto_file FILE *in = fopen(full, "re");
	size_t key_len = strlen(key);
	char line[128];

	while (in && fgets(line, sizeof(line), in))
		if (strncmp(line, key, key_len) == 0 && line[key_len] == ' ')
			return strtoll(line + key_len, NULL, 10);
	return 0;
}

/* The kernel counts the last task out a moment after it was waited for. */
void jail_cgroup_remove(const char *path)
{
	for (int i = 0; i < 100 && rmdir(path) < 0 && errno == EBUSY; i++)
		usleep(10000);
}
