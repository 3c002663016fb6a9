/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leaves the sandbox: result.json, stdout, stderr and the app's /output as one pax tar, given
 * to a sink in pieces. The app made the folder, so it is hostile: only folders and regular files
 * are packed, opened beneath the folder without following anything; links, devices, pipes, sockets
 * and what is over the limits is left out and named in result.json. Same folder, same bytes:
 * entries are sorted, owner and name of it are not kept.
 */
#ifndef STRONGROOM_OUTPACK_H
#define STRONGROOM_OUTPACK_H

#include <stddef.h>

#include "lib/err.h"

struct outpack_conf {
	const char *output_dir; /* nobody writes there any more */
	int returncode, signal;
	const char *const *limits_hit; /* ends with NULL */
	const void *stdout_data, *stderr_data;
	size_t stdout_len, stderr_len;
	long long max_bytes; /* of all packed files together */
	long long max_files; /* files and folders */
};

struct outpack_result {
	long long files, bytes,
		skipped; /* packed files and folders, their bytes, what was left out */
};

typedef int outpack_sink(void *arg, const void *data, size_t len, struct err *err);

/* -1 when the folder cannot be read (output.*) or the sink said so. ret_result may be NULL. */
int outpack_write(const struct outpack_conf *conf, outpack_sink *sink, void *arg,
	struct outpack_result *ret_result, struct err *err) __attribute__((warn_unused_result));

#endif
