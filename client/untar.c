/* SPDX-License-Identifier: Apache-2.0 */
/* libarchive for the format; every file is opened below the folder by openat2(RESOLVE_BENEATH),
 * never replaced. */
#include "client/untar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/files.h"
#include "lib/mem.h"

struct untar {
	struct archive *archive;
	int root;
	long long files, bytes;
};

static int open_beneath(int root, const char *path, int flags, unsigned mode)
{
	struct open_how how = {
		.flags = (unsigned long long)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

static int unsafe(struct err *err, const char *name, const char *what)
{
	return err_set(err, ERR_INVALID, "output.unsafe", "'%.100s': %s", name ? name : "", what);
}

static int make_folder(struct untar *untar, const char *name, struct err *err)
{
	auto_free char *path = mem_strdup(name);
	char *last;
	auto_fd int parent = -1;

	while (*path && path[strlen(path) - 1] == '/')
		path[strlen(path) - 1] = '\0';
	last = strrchr(path, '/');
	if (last)
		*last++ = '\0';
	parent = open_beneath(untar->root, last ? path : ".", O_RDONLY | O_DIRECTORY, 0);
	if (parent < 0)
		return unsafe(err, name, "its folder is not there");
	if (mkdirat(parent, last ? last : path, 0755) < 0 && errno != EEXIST)
		return err_errno(err, "make folder '%s'", name);
	return 0;
}

/* Folders above a file that the archive did not name itself. */
static int make_parents(struct untar *untar, const char *name, struct err *err)
{
	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		auto_free char *above = mem_strndup(name, (size_t)(slash - name));

		if (make_folder(untar, above, err) < 0)
			return -1;
	}
	return 0;
}

static int write_file(struct untar *untar, const char *name, struct err *err)
{
	auto_fd int fd = -1;
	char chunk[65536];
	la_ssize_t got;

	if (make_parents(untar, name, err) < 0)
		return -1;
	fd = open_beneath(untar->root, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0)
		return unsafe(err, name, strerror(errno));
	while ((got = archive_read_data(untar->archive, chunk, sizeof(chunk))) > 0) {
		untar->bytes += got;
		if (untar->bytes > UNTAR_MAX_BYTES)
			return unsafe(err, name, "the output is too large");
		if (files_write_all(fd, chunk, (size_t)got, err) < 0)
			return err_wrap(err, "'%s'", name);
	}
	explicit_bzero(chunk, sizeof(chunk));
	return got < 0 ? unsafe(err, name, archive_error_string(untar->archive)) : 0;
}

static int unpack_entry(struct untar *untar, struct archive_entry *entry, struct err *err)
{
	const char *name = archive_entry_pathname(entry);

	if (++untar->files > UNTAR_MAX_FILES)
		return unsafe(err, name, "too many files");
	if (!name || !files_is_plain_name(name))
		return unsafe(err, name, "not a plain name");
	if (archive_entry_hardlink(entry) || archive_entry_symlink(entry))
		return unsafe(err, name, "a link");
	if (archive_entry_filetype(entry) == AE_IFDIR)
		return make_parents(untar, name, err) < 0 ? -1 : make_folder(untar, name, err);
	if (archive_entry_filetype(entry) != AE_IFREG)
		return unsafe(err, name, "neither file nor folder");
	return write_file(untar, name, err);
}

int untar(int fd, const char *dest, struct err *err)
{
	auto_fd int root = open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct untar state = { .archive = archive_read_new(), .root = root };
	struct archive_entry *entry;
	int got = ARCHIVE_EOF, result = 0;

	archive_read_support_format_tar(state.archive);
	if (root < 0 || lseek(fd, 0, SEEK_SET) < 0)
		result = err_errno(err, "open '%s'", dest);
	else if (archive_read_open_fd(state.archive, fd, 65536) != ARCHIVE_OK)
		result = unsafe(err, "", archive_error_string(state.archive));
	while (result == 0 && (got = archive_read_next_header(state.archive, &entry)) == ARCHIVE_OK)
		result = unpack_entry(&state, entry, err);
	if (result == 0 && got != ARCHIVE_EOF)
		result = unsafe(err, "", archive_error_string(state.archive));
	archive_read_free(state.archive);
	return result;
}
