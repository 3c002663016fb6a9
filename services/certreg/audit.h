/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log as members, witnesses and everybody see it. */
#ifndef CERTREG_AUDIT_H
#define CERTREG_AUDIT_H

#include "lib/web.h"

web_handler audit_list, audit_checkpoint, audit_inclusion, audit_consistency, audit_export,
	audit_cosign;

/* audit_export.c for audit.c: the log in order as NDJSON, into a file without a name. */
int audit_export_write(struct web_req *req, int *ret_fd, long long *ret_len, struct err *err);

#endif
