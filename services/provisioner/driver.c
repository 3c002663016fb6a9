/* SPDX-License-Identifier: Apache-2.0 */
/* The drivers by their names, and who holds a sandbox. */
#include "services/provisioner/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/digest.h"
#include "lib/mem.h"

const struct driver *const drivers[] = { &driver_qemu, &driver_process, NULL };

const struct driver *driver_find(const char *name)
{
	for (size_t i = 0; drivers[i]; i++) {
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	}
	return NULL;
}

/* Where in the lock file a sandbox's byte is: 60 bits of its id's digest. So there is one file for
 * all, and nothing to remove. */
static off_t byte_of(const char *sandbox_id)
{
	char digest[DIGEST_TEXT_SIZE], part[16];

	digest_text(sandbox_id, strlen(sandbox_id), digest);
	memcpy(part, digest + strlen("sha256:"), 15);
	part[15] = '\0';
	return (off_t)strtoll(part, NULL, 16);
}

int driver_hold(
	const struct provisioner_conf *conf, const char *sandbox_id, int *ret_fd, struct err *err)
{
	auto_free char *path = mem_printf("%s/.lock", conf->sandboxes_dir);
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte_of(sandbox_id), .l_len = 1
	};
	auto_fd int fd = -1;

	if (mkdir(conf->sandboxes_dir, 0711) < 0 && errno != EEXIST)
		return err_errno(err, "make '%s'", conf->sandboxes_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EAGAIN ? err_set(err, ERR_UNAVAILABLE, "sandbox.held",
						 "another step of '%s' is under way", sandbox_id)
				       : err_errno(err, "lock '%s'", path);
	*ret_fd = take_fd(fd);
	return 0;
}
