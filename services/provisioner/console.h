/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of a sandbox: what its kernel and agent print, for its owner. The guest writes it, so
 * its text is believed by nobody, and its size is the launcher's limit.
 */
#ifndef PROVISIONER_CONSOLE_H
#define PROVISIONER_CONSOLE_H

#include "lib/web.h"

/* The last 64 KiB as text. With ?after=N what came behind byte N, 64 KiB at a time, with
 * Console-Offset where to go on; ?wait=30s waits for some; as text/event-stream all that comes, to
 * the end of the boot. */
web_handler console_show;

#endif
