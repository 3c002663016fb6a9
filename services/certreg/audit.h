/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log as members, witnesses and everybody see it. */
#ifndef CERTREG_AUDIT_H
#define CERTREG_AUDIT_H

#include "lib/web.h"

web_handler audit_list, audit_checkpoint, audit_inclusion, audit_consistency, audit_export,
	audit_cosign;

#define AUDIT_EXPORT_WORKERS 4 /* of the lane "export": so many tenants at a time */

/* audit_export.c for audit.c: the log in order as NDJSON, into a file without a name.
 * audit.export_running: one at a time of a tenant. */
int audit_export_write(struct web_req *req, int *ret_fd, long long *ret_len, struct err *err);

#endif
