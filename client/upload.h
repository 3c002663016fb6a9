/* SPDX-License-Identifier: Apache-2.0 */
/* Objects, resumable both ways (proto/README.md 2.5): PATCH by ranges from the offset that HEAD
 * says, GET with Range. */
#ifndef STRONGROOM_CLIENT_UPLOAD_H
#define STRONGROOM_CLIENT_UPLOAD_H

#include "client/task.h"

/* Sends the file; a crash goes on at the server's offset. ret_object is borrowed from the task's
 * work. */
int upload_object(struct task *task, const char *path, const char *digest, long long size,
	const char **ret_object, struct err *err) __attribute__((warn_unused_result));
/* Fetches into `path` by way of `path`.part, which goes on where it stopped. digest.mismatch */
struct download {
	const char *object, *digest;
	long long size;
};
int download_object(struct api *api, struct ui *ui, const struct download *wanted, const char *path,
	struct err *err) __attribute__((warn_unused_result));

#endif
