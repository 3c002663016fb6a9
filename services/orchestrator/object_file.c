/* SPDX-License-Identifier: Apache-2.0 */
/* Files of object_file.h. */
#include "services/orchestrator/object_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/id.h"
#include "lib/mem.h"

static int path_of(const struct orchestrator_conf *conf, const struct object *object,
	char **ret_folder, char **ret_path, struct err *err)
{
	if (!id_is(object->tenant, "tnt") || !id_is(object->id, "obj"))
		return err_set(err, ERR_NOT_FOUND, "object.not_found", "there is no such object");
	*ret_folder = mem_printf("%s/%s", conf->objects_dir, object->tenant);
	*ret_path = mem_printf("%s/%s", *ret_folder, object->id);
	return 0;
}

int object_file_read(const struct orchestrator_conf *conf, const struct object *object, int *ret_fd,
	struct err *err)
{
	auto_free char *folder = NULL, *path = NULL;
	int fd;

	if (path_of(conf, object, &folder, &path, err) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, "open object '%s'", object->id);
	*ret_fd = fd;
	return 0;
}

int object_file_append(const struct orchestrator_conf *conf, const struct object *object,
	int *ret_fd, struct err *err)
{
	auto_free char *folder = NULL, *path = NULL;
	auto_fd int fd = -1;

	if (path_of(conf, object, &folder, &path, err) < 0)
		return -1;
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make the folder of a tenant's objects");
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, "open object '%s'", object->id);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(
			err, ERR_CONFLICT, "object.busy", "another upload is writing this object");
	*ret_fd = take_fd(fd);
	return 0;
}

bool object_file_is_busy(const struct orchestrator_conf *conf, const struct object *object)
{
	auto_fd int fd = -1;

	return object_file_read(conf, object, &fd, NULL) == 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

int object_file_size(int fd, long long *ret_size, struct err *err)
{
	struct stat info;

	if (fstat(fd, &info) < 0)
		return err_errno(err, "look at an object");
	*ret_size = info.st_size;
	return 0;
}

int object_file_remove(
	const struct orchestrator_conf *conf, const struct object *object, struct err *err)
{
	auto_free char *folder = NULL, *path = NULL;

	if (path_of(conf, object, &folder, &path, err) < 0)
		return -1;
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(err, "remove object '%s'", object->id);
	return 0;
}
