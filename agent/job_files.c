/* SPDX-License-Identifier: Apache-2.0 */
/* The job's place in the work folder, which is memory in a VM. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/job.h"
#include "agent/rootfs_path.h"
#include "lib/buf.h"
#include "lib/mem.h"

static const char *const names[] = { "rootfs", "input", "output" };

static int remove_all(const char *work_dir, struct err *err)
{
	auto_fd int dir = open(work_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return err_errno(err, "open %s", work_dir);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (rootfs_path_remove(dir, names[i], NULL, err) < 0)
			return -1;
	}
	return 0;
}

int job_folders(struct job *job, struct err *err)
{
	char **const paths[] = { &job->rootfs_dir, &job->input_dir, &job->output_dir };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		*paths[i] = mem_printf("%s/%s", job->boot->work_dir, names[i]);
	if (remove_all(job->boot->work_dir, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (mkdir(*paths[i], 0755) < 0)
			return err_errno(err, "make %s", *paths[i]);
	}
	if (geteuid() == 0 && chown(job->rootfs_dir, JAIL_UID_BASE, JAIL_UID_BASE) < 0)
		return err_errno(err, "give %s to the app", job->rootfs_dir);
	return 0;
}

void job_folders_remove(struct job *job)
{
	if (job->output_dir)
		jail_output_release(job->output_dir);
	remove_all(job->boot->work_dir, NULL);
	free(take_ptr(job->rootfs_dir));
	free(take_ptr(job->input_dir));
	free(take_ptr(job->output_dir));
}

int job_temporary(const struct job *job, int *ret_fd, struct err *err)
{
	int fd = open(job->boot->work_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(err, "make a file in %s", job->boot->work_dir);
	*ret_fd = fd;
	return 0;
}

int job_write(int fd, const void *data, size_t len, struct err *err)
{
	if (buf_write_all(fd, data, len) == 0)
		return 0;
	return err_set(err, ERR_TOO_LARGE, "agent.storage", "the sandbox cannot hold it: %m");
}
