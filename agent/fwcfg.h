/* SPDX-License-Identifier: Apache-2.0 */
/* What the host hands over through QEMU's fw_cfg device: read once, never written. */
#ifndef STRONGROOM_FWCFG_H
#define STRONGROOM_FWCFG_H

#include "lib/err.h"

#define FWCFG_ENROLMENT "opt/strongroom/enrolment" /* the enrolment secret */

/* The item's text without its last newline; wipe and free with mem_wipe_free(text, strlen(text)).
 * fwcfg.missing when the host gave none, fwcfg.invalid when it is empty, over 4 KiB or holds a NUL.
 */
int fwcfg_read(const char *name, char **ret_text, struct err *err);

#endif
