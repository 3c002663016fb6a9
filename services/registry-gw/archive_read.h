/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outside of an OCI archive (image-layout 1.0 in a tar), read once from its beginning to its
 * end: which of its parts comes next, and its bytes. Everything that is no such part is refused:
 * other names, links, sparse files, a name twice, compression, a cut, something behind the end.
 */
#ifndef REGISTRY_GW_ARCHIVE_READ_H
#define REGISTRY_GW_ARCHIVE_READ_H

#include "lib/digest.h"

#define ARCHIVE_BLOCK_BYTES (64u * 1024u)

struct archive_reader;

/* Fills `data`, fewer than `size` bytes only at the end; -1 ends the reading. */
typedef long long archive_source(void *arg, void *data, size_t size, struct err *err);

enum archive_kind { ARCHIVE_LAYOUT, ARCHIVE_INDEX, ARCHIVE_BLOB };

struct archive_part {
	enum archive_kind kind;
	char digest[DIGEST_TEXT_SIZE]; /* that a blob's name promises; nobody compared it yet */
	long long size;
};

struct archive_reader *archive_reader_new(archive_source *source, void *arg);
void archive_reader_free(struct archive_reader *reader);
/* 1: a part, 0: the end, and all of it was right; -1: archive.invalid, archive.truncated,
 * archive.compressed, archive.name, archive.entry, archive.duplicate, archive.trailing,
 * archive.layout; image.not_encrypted: a docker archive; or what the source said. */
int archive_reader_next(
	struct archive_reader *reader, struct archive_part *ret_part, struct err *err);
/* The next bytes of the part; 0 behind its last. */
long long archive_reader_data(
	struct archive_reader *reader, void *data, size_t size, struct err *err);

#endif
