/* SPDX-License-Identifier: Apache-2.0 */
/* Walks of vm_files.h. */
#include "services/provisioner/vm_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/id.h"

#define FIRST_FD 10
#define DEPTH 16

int vm_files_folder(const char *path, mode_t mode, struct err *err)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_errno(err, "make '%s'", path);
	return chmod(path, mode) < 0 ? err_errno(err, "chmod '%s'", path) : 0;
}

static int give(const char *path, uid_t uid, struct err *err)
{
	if (geteuid() == 0 && lchown(path, uid, (gid_t)uid) < 0)
		return err_errno(err, "give '%s' to the VM's user", path);
	return 0;
}

int vm_files_make(const char *path, const void *data, size_t len, uid_t uid, struct err *err)
{
	return buf_replace_file(path, data, len, 0600, err) < 0 ? -1 : give(path, uid, err);
}

int vm_files_keep(const char *path, const void *data, size_t len, uid_t uid, struct err *err)
{
	return buf_write_file(path, data, len, 0600, err) < 0 ? -1 : give(path, uid, err);
}

static __thread uid_t new_owner; /* nftw() hands nothing on */

static int give_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
	(void)info;
	(void)type;
	(void)at;
	return lchown(path, new_owner, (gid_t)new_owner);
}

int vm_files_give(const char *path, uid_t uid, struct err *err)
{
	new_owner = uid;
	if (nftw(path, give_entry, DEPTH, FTW_DEPTH | FTW_PHYS) < 0)
		return err_errno(err, "give '%s' to the sandbox's user", path);
	return 0;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
	(void)info;
	(void)type;
	(void)at;
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

int vm_files_remove(const char *path, struct err *err)
{
	if (access(path, F_OK) == 0 && nftw(path, remove_entry, DEPTH, FTW_DEPTH | FTW_PHYS) < 0)
		return err_errno(err, "remove '%s'", path);
	return 0;
}

void vm_files_cap(const char *path, long long max_bytes)
{
	struct stat info;

	if (stat(path, &info) == 0 && info.st_size > max_bytes)
		(void)!truncate(path, 0);
}

int vm_files_raise(int fd)
{
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);

	if (fd >= 0)
		close(fd);
	return high;
}

int vm_files_list(const char *path,
	int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
	struct err *err)
{
	DIR *folder = opendir(path);
	const struct dirent *entry;
	int r = 0;

	if (!folder)
		return errno == ENOENT ? 0 : err_errno(err, "open '%s'", path);
	while (r == 0 && (entry = readdir(folder))) {
		if (id_is(entry->d_name, "sbx"))
			r = on_id(arg, entry->d_name, err);
	}
	closedir(folder);
	return r;
}
