/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real boot of ours, recorded: what the guest sent. tests/data/vtpm holds one; the folder
 * STRONGROOM_VECTORS/evidence/vtpm-swtpm, when it is there, has boots with one change each.
 */
#ifndef STRONGROOM_VTPM_RUN_H
#define STRONGROOM_VTPM_RUN_H

#include <stdlib.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define RUN_FOLDER "tests/data/vtpm"

struct bytes {
	unsigned char data[4096];
	size_t len;
};

/* "base" here, "cmdline", "initrd", "kernel", "mem512" with the vectors; NULL when it is not there.
 */
static inline json_t *run_read(const char *name)
{
	const char *vectors = getenv("STRONGROOM_VECTORS");
	auto_free char *path = NULL;
	auto_buf text = BUF_INIT(1 << 20);

	path = vectors ? mem_printf("%s/evidence/vtpm-swtpm/run-%s.json", vectors, name) : NULL;
	if (!path || access(path, R_OK) < 0) {
		free(path);
		path = mem_printf(RUN_FOLDER "/run-%s.json", name);
	}
	if (access(path, R_OK) < 0)
		return NULL;
	CHECK(buf_read_file(&text, path, NULL) == 0);
	return json_parse((const char *)text.data, text.len, NULL);
}

static inline struct bytes run_bytes(const json_t *run, const char *name)
{
	const char *hex = json_text(json_object_get(run, "R"), name);
	struct bytes bytes = { .len = hex ? strlen(hex) / 2 : 0 };

	CHECK(bytes.len > 0 && bytes.len <= sizeof(bytes.data));
	CHECK(codec_hex_decode(hex, bytes.data, bytes.len, NULL) == 0);
	return bytes;
}

#endif
