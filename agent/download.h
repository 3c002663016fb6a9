/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes by range: a download goes on where it was cut, with patience, and hashes what it hands on.
 * Inputs and image layers come this way; only who signs the request differs.
 */
#ifndef STRONGROOM_AGENT_DOWNLOAD_H
#define STRONGROOM_AGENT_DOWNLOAD_H

#include <jansson.h>

#include "lib/digest.h"
#include "lib/err.h"
#include "lib/fetch.h"

typedef int download_sink(void *arg, const void *data, size_t len, struct err *err);

struct download {
	/* One try; `req` has method, sink, and one Range header when some bytes are here. */
	int (*get)(void *arg, const struct fetch_request *req, long *ret_status, struct err *err);
	void *get_arg;
	const char *path;
	const char *digest; /* what all of it must be */
	long long size;
	const char *code; /* of a refusal for wrong size or digest */
	download_sink *sink;
	void *sink_arg;
};

/* The sink's bytes are good only once this has returned 0. */
int download_run(const struct download *download, struct err *err)
	__attribute__((warn_unused_result));

#endif
