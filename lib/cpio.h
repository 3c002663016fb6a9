/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The archive with a sandbox's initdata that stands behind the initramfs (newc, as
 * deploy/guest/mkcpio writes it). Who starts a VM and who verifies its boot make the same bytes
 * here. Its size is fixed: the size of the initrd is part of what the firmware measures.
 */
#ifndef STRONGROOM_CPIO_H
#define STRONGROOM_CPIO_H

#include "lib/buf.h"
#include "lib/err.h"

#define CPIO_INITDATA_SIZE 4096u

/* Zeros up to the next multiple of CPIO_INITDATA_SIZE: what stands between the initramfs and the
 * archive. */
int cpio_pad(struct buf *initrd, struct err *err);
/* Adds /etc/strongroom/initdata.json with this text, then zeros, CPIO_INITDATA_SIZE bytes in all.
 * limit.buffer when the text is too long. */
int cpio_add_initdata(struct buf *initrd, const void *text, size_t len, struct err *err);

#endif
