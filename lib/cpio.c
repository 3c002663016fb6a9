/* SPDX-License-Identifier: Apache-2.0 */
/* Two folders, a file, the trailer: root's, time 0, inodes counted from 1. */
#include "lib/cpio.h"

#include <stdbool.h>
#include <string.h>

static int pad_to(struct buf *out, size_t step, struct err *err)
{
	static const char zeros[CPIO_INITDATA_SIZE];

	return buf_add(out, zeros, (step - out->len % step) % step, err);
}

static int add_entry(struct buf *out, unsigned inode, const char *name, unsigned mode,
	const void *data, size_t len, struct err *err)
{
	bool folder = (mode & 0170000) == 0040000;

	if (buf_printf(out, err, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x%s",
		    inode, mode, 0u, 0u, folder ? 2u : 1u, 0u, len, 0u, 0u, 0u, 0u,
		    strlen(name) + 1, 0u, name) < 0 ||
		buf_add(out, "", 1, err) < 0 || pad_to(out, 4, err) < 0)
		return -1;
	return buf_add(out, data, len, err) < 0 ? -1 : pad_to(out, 4, err);
}

int cpio_pad(struct buf *initrd, struct err *err)
{
	return pad_to(initrd, CPIO_INITDATA_SIZE, err);
}

int cpio_add_initdata(struct buf *initrd, const void *text, size_t len, struct err *err)
{
	auto_buf archive = BUF_INIT(CPIO_INITDATA_SIZE);

	if (add_entry(&archive, 1, "etc", 0040755, "", 0, err) < 0 ||
		add_entry(&archive, 2, "etc/strongroom", 0040755, "", 0, err) < 0 ||
		add_entry(&archive, 3, "etc/strongroom/initdata.json", 0100644, text, len, err) <
			0 ||
		add_entry(&archive, 0, "TRAILER!!!", 0, "", 0, err) < 0 ||
		cpio_pad(&archive, err) < 0)
		return err_wrap(err, "initdata archive");
	return buf_add(initrd, archive.data, archive.len, err);
}
