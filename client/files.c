/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of files, walked with fts(3) in the order of names so that digests do not depend on the
 * file system. */
#include "client/files.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/mem.h"

int files_make_dirs(const char *path, unsigned mode, struct err *err)
{
	auto_free char *copy = mem_strdup(path);

	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return err_errno(err, "make folder '%s'", copy);
		*slash = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return err_errno(err, "make folder '%s'", copy);
	return 0;
}

int files_write_all(int fd, const void *data, size_t len, struct err *err)
{
	return buf_write_all(fd, data, len) < 0 ? err_errno(err, "write") : 0;
}

bool files_is_plain_name(const char *name)
{
	if (!*name || strlen(name) > FILES_MAX_NAME)
		return false;
	while (*name) {
		size_t len = strcspn(name, "/");

		if (len == 0 || (len == 1 && *name == '.') ||
			(len == 2 && memcmp(name, "..", 2) == 0))
			return false;
		name += len + (name[len] == '/');
	}
	return true;
}

int files_unnamed(const char *dir, struct err *err)
{
	auto_free char *name = mem_printf("%s/.unnamed.XXXXXX", dir);
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "make a file in '%s'", dir);
	unlink(name);
	return fd;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static FTS *open_walk(const char *path)
{
	char *roots[] = { (char *)path, NULL };

	return fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
}

static bool is_left_out(FTS *walk, FTSENT *entry)
{
	if (entry->fts_level == 0 || strcmp(entry->fts_name, ".git") != 0)
		return false;
	fts_set(walk, entry, FTS_SKIP);
	return true;
}

/* One line per entry: kind, x bit, digest or target, path. Names cannot hold NUL, so it ends the
 * line. */
static int digest_entry(
	struct digest_stream *stream, const FTSENT *entry, size_t root_len, struct err *err)
{
	auto_free char *line = NULL;
	const char *name = entry->fts_path + root_len;
	char content[DIGEST_TEXT_SIZE] = "", target[4096];
	ssize_t len;

	if (entry->fts_info == FTS_F) {
		if (digest_file(entry->fts_accpath, content, NULL, err) < 0)
			return -1;
		line = mem_printf(
			"f%c %s %s", entry->fts_statp->st_mode & 0100 ? 'x' : '-', content, name);
	} else if (entry->fts_info == FTS_D) {
		line = mem_printf("d %s", name);
	} else if (entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE) {
		len = readlink(entry->fts_accpath, target, sizeof(target) - 1);
		if (len < 0)
			return err_errno(err, "read link '%s'", entry->fts_path);
		target[len] = '\0';
		line = mem_printf("l %s -> %s", name, target);
	} else {
		return err_set(err, ERR_INVALID, "files.kind",
			"'%s' is neither file nor folder nor link, or cannot be read",
			entry->fts_path);
	}
	digest_stream_add(stream, line, strlen(line) + 1);
	return 0;
}

int files_tree_digest(const char *path, char ret_digest[DIGEST_TEXT_SIZE], struct err *err)
{
	struct digest_stream *stream;
	struct stat st;
	FTSENT *entry;
	FTS *walk;
	int result = 0;

	if (stat(path, &st) < 0)
		return err_set(err, ERR_NOT_FOUND, "files.missing", "no '%s'", path);
	if (S_ISREG(st.st_mode))
		return digest_file(path, ret_digest, NULL, err);
	walk = open_walk(path);
	if (!walk)
		return err_errno(err, "open '%s'", path);
	stream = digest_stream_new();
	while (result == 0 && (entry = fts_read(walk))) {
		if (entry->fts_info != FTS_DP && !is_left_out(walk, entry))
			result = digest_entry(stream, entry, strlen(path), err);
	}
	fts_close(walk);
	digest_stream_finish_text(stream, ret_digest);
	digest_stream_free(stream);
	return result;
}

static int copy_file(const char *from, const char *to, unsigned mode, struct err *err)
{
	auto_fd int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_fd int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	char chunk[65536];
	ssize_t got;

	if (in < 0 || out < 0)
		return err_errno(err, "copy '%s' to '%s'", from, to);
	while ((got = read(in, chunk, sizeof(chunk))) > 0) {
		if (files_write_all(out, chunk, (size_t)got, err) < 0)
			return -1;
	}
	return got < 0 ? err_errno(err, "read '%s'", from) : 0;
}

static int copy_link(const char *from, const char *to, struct err *err)
{
	char target[4096];
	ssize_t len = readlink(from, target, sizeof(target) - 1);

	if (len < 0)
		return err_errno(err, "read link '%s'", from);
	target[len] = '\0';
	return symlink(target, to) < 0 ? err_errno(err, "make link '%s'", to) : 0;
}

static int copy_entry(const FTSENT *entry, const char *to, struct err *err)
{
	switch (entry->fts_info) {
	case FTS_D:
		return mkdir(to, 0755) < 0 ? err_errno(err, "make folder '%s'", to) : 0;
	case FTS_F:
		return copy_file(entry->fts_accpath, to,
			entry->fts_statp->st_mode & 0100 ? 0755 : 0644, err);
	case FTS_SL:
	case FTS_SLNONE:
		return copy_link(entry->fts_accpath, to, err);
	default:
		return err_set(err, ERR_INVALID, "files.kind",
			"'%s' is neither file nor folder nor link, or cannot be read",
			entry->fts_path);
	}
}

static int copy_walk(const char *from, const char *to, struct err *err)
{
	FTS *walk = open_walk(from);
	FTSENT *entry;
	int result = 0;

	if (!walk)
		return err_errno(err, "open '%s'", from);
	while (result == 0 && (entry = fts_read(walk))) {
		auto_free char *target = mem_printf("%s%s", to, entry->fts_path + strlen(from));

		if (entry->fts_info != FTS_DP && !is_left_out(walk, entry))
			result = copy_entry(entry, target, err);
	}
	fts_close(walk);
	return result;
}

int files_tree_copy(const char *from, const char *to, struct err *err)
{
	auto_free char *part = mem_printf("%s.strongroom-part", to);

	if (files_tree_remove(part, err) < 0 || copy_walk(from, part, err) < 0 ||
		files_tree_remove(to, err) < 0)
		return -1;
	return rename(part, to) < 0 ? err_errno(err, "rename '%s'", part) : 0;
}

int files_tree_remove(const char *path, struct err *err)
{
	struct stat st;
	FTSENT *entry;
	FTS *walk;
	int result = 0;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_errno(err, "look at '%s'", path);
	walk = open_walk(path);
	if (!walk)
		return err_errno(err, "open '%s'", path);
	while (result == 0 && (entry = fts_read(walk))) {
		if (entry->fts_info == FTS_D)
			continue;
		if ((entry->fts_info == FTS_DP ? rmdir(entry->fts_accpath)
					       : unlink(entry->fts_accpath)) < 0)
			result = err_errno(err, "remove '%s'", entry->fts_path);
	}
	fts_close(walk);
	return result;
}
