/* SPDX-License-Identifier: Apache-2.0 */
/* Growing buffer of buf.h, and whole-file reading and crash-safe writing on top of it. */
#include "lib/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"

int buf_reserve(struct buf *buf, size_t more, struct err *err)
{
	size_t want;

	if (more > buf->max || buf->len > buf->max - more)
		return err_set(err, ERR_TOO_LARGE, "limit.buffer", "more than %zu bytes", buf->max);
	if (buf->len + more < buf->size)
		return 0;
	want = buf->size ? buf->size * 2 : 256;
	while (want <= buf->len + more)
		want *= 2;
	buf->data = mem_grow(buf->data, want, 1);
	buf->size = want;
	return 0;
}

int buf_add(struct buf *buf, const void *data, size_t len, struct err *err)
{
	if (buf_reserve(buf, len, err) < 0)
		return -1;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int buf_add_text(struct buf *buf, const char *text, struct err *err)
{
	return buf_add(buf, text, strlen(text), err);
}

int buf_printf(struct buf *buf, struct err *err, const char *fmt, ...)
{
	auto_free char *text = NULL;
	va_list args;

	va_start(args, fmt);
	text = mem_vprintf(fmt, args);
	va_end(args);
	return buf_add(buf, text, strlen(text), err);
}

int buf_read_file(struct buf *buf, const char *path, struct err *err)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char chunk[16384];
	ssize_t got;

	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	while ((got = read(fd, chunk, sizeof(chunk))) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_errno(err, "read '%s'", path);
		if (buf_add(buf, chunk, (size_t)got, err) < 0)
			return err_wrap(err, "read '%s'", path);
	}
	explicit_bzero(chunk, sizeof(chunk));
	return 0;
}

int buf_write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t done = write(fd, at, len);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		at += done;
		len -= (size_t)done;
	}
	return 0;
}

static int sync_directory_of(const char *path)
{
	auto_free char *copy = mem_strdup(path);
	auto_fd int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : fsync(fd);
}

static int replace(
	const char *path, const void *data, size_t len, unsigned mode, bool syncs, struct err *err)
{
	auto_free char *temporary = mem_printf("%s.XXXXXX", path);
	auto_fd int fd = mkostemp(temporary, O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, "create a file beside '%s'", path);
	if (fchmod(fd, mode) < 0 || buf_write_all(fd, data, len) < 0 || (syncs && fsync(fd) < 0) ||
		rename(temporary, path) < 0) {
		err_errno(err, "write '%s'", path);
		unlink(temporary);
		return -1;
	}
	return 0;
}

int buf_replace_file(const char *path, const void *data, size_t len, unsigned mode, struct err *err)
{
	return replace(path, data, len, mode, false, err);
}

int buf_write_file(const char *path, const void *data, size_t len, unsigned mode, struct err *err)
{
	if (replace(path, data, len, mode, true, err) < 0)
		return -1;
	if (sync_directory_of(path) < 0)
		return err_errno(err, "sync the directory of '%s'", path);
	return 0;
}

void buf_release(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf) { .max = buf->max };
}

void buf_wipe(struct buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->size);
	buf_release(buf);
}

void buf_cleanup(struct buf *buf)
{
	buf_wipe(buf);
}
