/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tofu says with -json (machine-readable UI 1.x), as it comes: one JSON object a line. Lines
 * are bounded, unknown types and what is no JSON are passed over, another major version is told.
 * Pieces may end anywhere.
 */
#ifndef PROVISIONER_TOFU_STREAM_H
#define PROVISIONER_TOFU_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"

#define TOFU_LINE_BYTES (64u * 1024u)
#define TOFU_TEXT_SIZE 160u

struct tofu_stream {
	bool is_versioned;	 /* a version message came, and its ui is 1.x */
	bool is_other;		 /* its ui is another */
	unsigned lines, dropped; /* dropped: too long, or no message */
	unsigned planned, applied, errored, errors, drifted, gone;
	char doing[TOFU_TEXT_SIZE];   /* address of what was begun last */
	char summary[TOFU_TEXT_SIZE]; /* of the first error */
	char address[TOFU_TEXT_SIZE]; /* which resource it is about, or "" */
	/* Each message as a text for people; may be NULL. */
	void (*on_text)(void *arg, const char *level, const char *text);
	void *arg;
	struct buf line; /* of which no end came yet */
	bool is_skipping;
};

void tofu_stream_init(struct tofu_stream *stream);
void tofu_stream_add(struct tofu_stream *stream, const void *data, size_t len);
/* What has no newline behind it is a line, too. Releases. */
void tofu_stream_end(struct tofu_stream *stream);

#endif
