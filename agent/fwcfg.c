/* SPDX-License-Identifier: Apache-2.0 */
/* Reads items of the qemu_fw_cfg driver's sysfs tree. */
#include "agent/fwcfg.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"

#define ITEM_DIR "/sys/firmware/qemu_fw_cfg/by_name/"
#define ITEM_MAX 4096u

static ssize_t read_item(int fd, char *data, size_t size)
{
	size_t used = 0;
	ssize_t got;

	while (used < size && (got = read(fd, data + used, size - used)) > 0)
		used += (size_t)got;
	return (ssize_t)used;
}

int fwcfg_read(const char *name, char **ret_text, struct err *err)
{
	auto_free char *path = mem_printf(ITEM_DIR "%s/raw", name);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char data[ITEM_MAX + 1];
	ssize_t len;

	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "fwcfg.missing", "the host gave no '%s'", name);
	if (fd < 0)
		return err_errno(err, "open %s", path);
	len = read_item(fd, data, sizeof(data));
	if (len > 0 && data[len - 1] == '\n')
		len--;
	if (len <= 0 || len > (ssize_t)ITEM_MAX || memchr(data, '\0', (size_t)len)) {
		explicit_bzero(data, sizeof(data));
		return err_set(err, ERR_INVALID, "fwcfg.invalid", "'%s' is not a short text", name);
	}
	*ret_text = mem_strndup(data, (size_t)len);
	explicit_bzero(data, sizeof(data));
	return 0;
}
