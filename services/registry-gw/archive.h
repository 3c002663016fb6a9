/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One encrypted image as one .tar: POST of an OCI archive. A worker reads it while the loop brings
 * it. Layers go on into upload sessions, which nobody sees; only when the whole archive was read
 * and found good are they closed, and the manifests put as by any PUT. Whatever is refused before
 * is cancelled, so that nothing of it stays.
 */
#ifndef REGISTRY_GW_ARCHIVE_H
#define REGISTRY_GW_ARCHIVE_H

#include "services/registry-gw/archive_image.h"
#include "services/registry-gw/archive_pipe.h"
#include "services/registry-gw/store.h"
#include "services/registry-gw/writers.h"

#define ARCHIVES_OF_A_TENANT 2 /* at once, in one process: others have their turn */

struct archive_push {
	struct access access;
	json_t *tags;
	struct writers *writers;
	struct writer writer;
	struct archive_pipe pipe;
	struct archive_image *image;
	struct web_req *req; /* the worker's */
};

/* archive_blob.handed: the blob on its way into the repository. */
struct archive_session {
	struct upload upload;
	struct writer writer; /* keeps the lease that the row lives by, while it is open */
	bool open;	      /* at the registry, and a row */
	bool is_new;	      /* closed, and was not there before */
};

/* The session is closed, or is about to be. */
void archive_session_end(struct archive_push *push, struct archive_session *session);
/* Takes away what a refused archive brought. Best effort: what it cannot reach expires. */
void archive_undo(struct archive_push *push);

/* On the lane: web_stream_ops.begin, and its finish, which runs beside the body. */
int archive_begin(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err);
int archive_finish(struct web_req *req, struct web_res *res, void *ctx, struct err *err);
void archive_release(void *ctx);

#endif
