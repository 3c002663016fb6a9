/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upload sessions. The client has one URL for the whole of a session, ours; the registry's own,
 * which changes with every piece, stays in the row. A session belongs to who opened it and has one
 * writer.
 */
#ifndef REGISTRY_GW_UPLOADS_H
#define REGISTRY_GW_UPLOADS_H

#include "services/registry-gw/store.h"

web_handler upload_show, upload_cancel;

struct upload_mount {
	const char *digest, *from;
	long long size;
};

/* Opens a session at the registry and its row. With `mount` (or NULL) the registry may have the
 * blob at once: *ret_mounted, and no session. quota.uploads, quota.bytes */
int upload_open(struct web_req *req, const struct access *access, const struct upload_mount *mount,
	struct upload *ret_upload, bool *ret_mounted, struct err *err);
/* A session for one stream, whose writer the caller is (writers_add()): nobody else sees it, and
 * without its lease it is forgotten. */
int upload_open_held(struct web_req *req, const struct access *access, struct upload *ret_upload,
	struct err *err);
/* Makes the caller the writer of a session whose place is known. With the `digest` that it is to be
 * closed under (or NULL), 1: it was closed so before, and the blob is there. upload.busy,
 * upload.not_found. */
int upload_take(struct web_req *req, const struct access *access, const char *id,
	const char *digest, struct upload *ret_upload, struct err *err);
/* Lets go of it at upload->location and upload->offset; whoever waits for that is told. */
int upload_settle(struct web_req *req, const struct upload *upload, struct err *err);
/* Closes it at the registry: 201 in `res`. upload.digest leaves the session as it was. */
int upload_commit(struct web_req *req, struct web_res *res, const struct access *access,
	struct upload *upload, const char *digest, struct err *err);
/* 201 of a blob that is there. */
void upload_answer_blob(
	struct web_req *req, struct web_res *res, const struct access *access, const char *digest);
/* Location, Range and id of a session; `status` for the answer. */
void upload_answer(
	struct web_req *req, struct web_res *res, const struct upload *upload, int status);

#endif
