/* SPDX-License-Identifier: Apache-2.0 */
/* Names below the folder are ours: fixed ones, or the hex of a checked digest. */
#include "lib/oci_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/mem.h"

#define MARKER "{\"imageLayoutVersion\":\"1.0.0\"}"
#define MAX_INDEX_DEPTH 3

static char *blob_path(const char *dir, const char *digest)
{
	return mem_printf("%s/blobs/sha256/%s", dir, digest + strlen("sha256:"));
}

static int make_folder(const char *path, struct err *err)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make folder '%s'", path);
	return 0;
}

int oci_layout_create(const char *dir, struct err *err)
{
	auto_free char *blobs = mem_printf("%s/blobs", dir);
	auto_free char *sha256 = mem_printf("%s/blobs/sha256", dir);
	auto_free char *marker = mem_printf("%s/oci-layout", dir);

	if (make_folder(dir, err) < 0 || make_folder(blobs, err) < 0 ||
		make_folder(sha256, err) < 0)
		return -1;
	return buf_write_file(marker, MARKER, strlen(MARKER), 0644, err);
}

/* --- reading --- */

/* A regular file of at most `max` bytes; links are refused, and nothing blocks on a pipe. */
static int open_regular(
	const char *path, long long max, int *ret_fd, long long *ret_size, struct err *err)
{
	auto_fd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat info;

	if (fd < 0)
		return err_set(
			err, ERR_INVALID, "oci.no_blob", "open '%s': %s", path, strerror(errno));
	if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
		return err_set(err, ERR_INVALID, "oci.no_blob", "'%s' is no file", path);
	if (info.st_size > max)
		return err_set(err, ERR_TOO_LARGE, "oci.too_large", "'%s' has more than %lld bytes",
			path, max);
	*ret_size = info.st_size;
	*ret_fd = take_fd(fd);
	return 0;
}

int oci_layout_open(const char *dir, const struct oci_blob *blob, int *ret_fd, struct err *err)
{
	auto_free char *path = blob_path(dir, blob->digest);
	auto_fd int fd = -1;
	long long size = 0;

	if (open_regular(path, OCI_MAX_BLOB, &fd, &size, err) < 0)
		return -1;
	if (size != blob->size)
		return err_set(err, ERR_INVALID, "oci.digest", "%s has %lld bytes, not %lld",
			blob->digest, size, blob->size);
	*ret_fd = take_fd(fd);
	return 0;
}

static int read_whole(int fd, long long size, struct buf *buf, struct err *err)
{
	char chunk[16384];
	ssize_t got = 0;

	while (size > 0 && (got = read(fd, chunk, sizeof(chunk))) > 0) {
		if (buf_add(buf, chunk, (size_t)got, err) < 0)
			return -1;
		size -= got;
	}
	if (got < 0)
		return err_errno(err, "read a document of the image");
	if (size != 0)
		return err_set(err, ERR_INVALID, "oci.digest", "a document changed its size");
	return 0;
}

int oci_layout_read(const char *dir, const struct oci_blob *blob, struct buf *buf, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];
	auto_fd int fd = -1;

	if (oci_layout_open(dir, blob, &fd, err) < 0 || read_whole(fd, blob->size, buf, err) < 0)
		return -1;
	digest_text(buf->data ? buf->data : (const unsigned char *)"", buf->len, digest);
	if (strcmp(digest, blob->digest) != 0)
		return err_set(
			err, ERR_INVALID, "oci.digest", "%s has digest %s", blob->digest, digest);
	return 0;
}

static int read_index(const char *dir, struct buf *buf, struct err *err)
{
	auto_free char *path = mem_printf("%s/index.json", dir);
	auto_fd int fd = -1;
	long long size = 0;

	if (open_regular(path, OCI_MAX_DOCUMENT, &fd, &size, err) < 0)
		return -1;
	return read_whole(fd, size, buf, err);
}

static int check_marker(const char *dir, struct err *err)
{
	auto_free char *path = mem_printf("%s/oci-layout", dir);
	auto_buf buf = BUF_INIT(4096);
	auto_fd int fd = -1;
	auto_json json_t *marker = NULL;
	const char *version;
	long long size = 0;

	if (open_regular(path, 4096, &fd, &size, err) < 0 || read_whole(fd, size, &buf, err) < 0)
		return err_set(err, ERR_INVALID, "oci.layout", "'%s' has no oci-layout file", dir);
	marker = json_parse((const char *)buf.data, buf.len, NULL);
	version = json_text(marker, "imageLayoutVersion");
	if (!version || strcmp(version, "1.0.0") != 0)
		return err_set(err, ERR_INVALID, "oci.layout", "'%s' is not of version 1.0.0", dir);
	return 0;
}

int oci_layout_list(const char *dir, json_t **ret_index, struct err *err)
{
	auto_buf buf = BUF_INIT(OCI_MAX_DOCUMENT);
	json_t *index;

	if (check_marker(dir, err) < 0 || read_index(dir, &buf, err) < 0)
		return -1;
	index = json_parse((const char *)buf.data, buf.len, err);
	if (!index)
		return err_wrap(err, "index.json");
	if (json_array_size(json_object_get(index, "manifests")) == 0) {
		json_decref(index);
		return err_set(err, ERR_INVALID, "oci.index", "'%s' holds no image", dir);
	}
	*ret_index = index;
	return 0;
}

int oci_layout_find(
	const char *dir, const char *architecture, struct oci_blob *ret_manifest, struct err *err)
{
	auto_buf buf = BUF_INIT(OCI_MAX_DOCUMENT);
	struct oci_blob blob = { .size = 0 };

	if (check_marker(dir, err) < 0 || read_index(dir, &buf, err) < 0 ||
		oci_index_choose(buf.data, buf.len, architecture, &blob, err) < 0)
		return -1;
	for (unsigned depth = 1; oci_is_index(blob.type); depth++) {
		struct oci_blob index = blob;

		if (depth == MAX_INDEX_DEPTH)
			return err_set(
				err, ERR_INVALID, "oci.index", "indexes are nested too deep");
		buf_release(&buf);
		if (oci_layout_read(dir, &index, &buf, err) < 0 ||
			oci_index_choose(buf.data, buf.len, architecture, &blob, err) < 0)
			return -1;
	}
	*ret_manifest = blob;
	return 0;
}

/* --- writing --- */

int oci_layout_add(const char *dir, const char *type, const void *data, size_t len,
	struct oci_blob *ret_blob, struct err *err)
{
	struct oci_blob blob = { .size = (long long)len };
	auto_free char *path = NULL;

	if (strlen(type) >= sizeof(blob.type))
		return err_set(err, ERR_INVALID, "oci.descriptor", "mediaType is too long");
	memcpy(blob.type, type, strlen(type) + 1);
	digest_text(data, len, blob.digest);
	path = blob_path(dir, blob.digest);
	if (buf_write_file(path, data, len, 0644, err) < 0)
		return -1;
	*ret_blob = blob;
	return 0;
}

int oci_layout_new_blob(const char *dir, char **ret_path, int *ret_fd, struct err *err)
{
	auto_free char *path = mem_printf("%s/blobs/sha256/.new.XXXXXX", dir);
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, "make a blob in '%s'", dir);
	*ret_path = take_ptr(path);
	*ret_fd = fd;
	return 0;
}

int oci_layout_keep_blob(
	const char *dir, const char *path, int fd, const char *digest, struct err *err)
{
	auto_free char *name = blob_path(dir, digest);

	if (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || rename(path, name) < 0)
		return err_errno(err, "keep blob %s", digest);
	return 0;
}

int oci_layout_write_index(const char *dir, const json_t *index, struct err *err)
{
	auto_free char *path = mem_printf("%s/index.json", dir), *text = NULL;
	size_t len = 0;

	if (jcs_encode(index, &text, &len, err) < 0)
		return -1;
	return buf_write_file(path, text, len, 0644, err);
}

int oci_layout_index(
	const char *dir, const struct oci_blob *manifest, const char *name, struct err *err)
{
	json_t *descriptor = oci_blob_json(manifest);
	auto_json json_t *index = NULL;

	if (name)
		json_object_set_new(descriptor, "annotations",
			json_pack("{s:s}", "org.opencontainers.image.ref.name", name));
	index = json_pack("{s:i,s:[o]}", "schemaVersion", 2, "manifests", descriptor);
	return oci_layout_write_index(dir, index, err);
}
