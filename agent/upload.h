/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes into an object of the orchestrator, in chunks. A chunk is kept until the server says that
 * it has it, so an upload goes on wherever a connection or the service broke off.
 */
#ifndef STRONGROOM_AGENT_UPLOAD_H
#define STRONGROOM_AGENT_UPLOAD_H

#include "agent/api.h"
#include "lib/digest.h"
#include "lib/err.h"
#include "lib/id.h"

struct upload;

/* Makes the run's output object; the same run and fence give the same object again. */
int upload_new(struct api *api, const char *run, long long fence, struct upload **ret_upload,
	struct err *err);
void upload_free(struct upload *upload); /* NULL is fine */

int upload_add(struct upload *upload, const void *data, size_t len, struct err *err)
	__attribute__((warn_unused_result));
/* Sends the rest and closes the object under its digest. upload.lost when the server has other
 * bytes than were sent. */
int upload_finish(struct upload *upload, char ret_object[ID_SIZE],
	char ret_digest[DIGEST_TEXT_SIZE], long long *ret_size, struct err *err)
	__attribute__((warn_unused_result));

#endif
