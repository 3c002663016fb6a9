/* SPDX-License-Identifier: Apache-2.0 */
/* Image archives of strangers: what is refused, what is read, and that nothing is written
 * elsewhere. */
#include "client/image_source.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/files.h"
#include "client/image_unpack.h"
#include "lib/buf.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static char folder[] = "/tmp/test_image.XXXXXX";

struct file {
	const char *name, *text, *link;
	unsigned kind; /* 0: a file; AE_IFLNK, AE_IFDIR, …; or HARD_LINK */
};

#define HARD_LINK 0xffffu

static void add_file(struct archive *tar, const struct file *file)
{
	struct archive_entry *entry = archive_entry_new();
	size_t len = file->text ? strlen(file->text) : 0;

	archive_entry_set_pathname(entry, file->name);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_filetype(
		entry, file->kind && file->kind != HARD_LINK ? file->kind : AE_IFREG);
	if (file->kind == AE_IFLNK)
		archive_entry_set_symlink(entry, file->link);
	if (file->kind == HARD_LINK)
		archive_entry_set_hardlink(entry, file->link);
	archive_entry_set_size(entry, (la_int64_t)len);
	CHECK(archive_write_header(tar, entry) == ARCHIVE_OK);
	if (len)
		CHECK(archive_write_data(tar, file->text, len) == (la_ssize_t)len);
	archive_entry_free(entry);
}

/* Ends at a file without name; the caller frees. */
static char *write_archive(const struct file *files)
{
	char *path = mem_printf("%s/archive.tar", folder);
	struct archive *tar = archive_write_new();

	CHECK(archive_write_set_format_pax(tar) == ARCHIVE_OK);
	CHECK(archive_write_open_filename(tar, path) == ARCHIVE_OK);
	for (; files->name; files++)
		add_file(tar, files);
	CHECK(archive_write_close(tar) == ARCHIVE_OK);
	archive_write_free(tar);
	return path;
}

static int open_files(const struct file *files, struct err *err)
{
	auto_free char *path = write_archive(files), *dir = mem_printf("%s/unpacked", folder);
	static struct image_source source;
	struct err inner;
	int result = image_source_open(path, dir, &source, err);

	if (result == 0)
		image_source_release(&source);
	CHECK(files_tree_remove(dir, &inner) == 0);
	return result;
}

#define DIFF_ID "\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""
#define CONFIG(os, ids)                                                                            \
	"{\"architecture\":\"amd64\",\"os\":\"" os                                                 \
	"\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" ids "]}}"
#define DOCKER(layers) "[{\"Config\":\"c.json\",\"RepoTags\":null,\"Layers\":[" layers "]}]"

static void check_docker(void)
{
	struct err err = { .kind = ERR_NONE };

	CHECK(open_files((const struct file[]) { { .name = "manifest.json",
							 .text = DOCKER("\"a/layer.tar\"") },
				 { .name = "c.json", .text = CONFIG("linux", DIFF_ID) },
				 { .name = "a/", .kind = AE_IFDIR },
				 { .name = "./a/layer.tar", .text = "x" }, { .name = NULL } },
		      &err) == 0);
	CHECK(open_files(
		      (const struct file[]) {
			      { .name = "manifest.json",
				      .text = DOCKER("\"a/layer.tar\",\"b/layer.tar\"") },
			      { .name = "c.json", .text = CONFIG("linux", DIFF_ID "," DIFF_ID) },
			      { .name = "b/layer.tar", .kind = AE_IFLNK, .link = "../a/layer.tar" },
			      { .name = "a/layer.tar", .text = "x" }, { .name = NULL } },
		      &err) == 0);
}

static void check_bad_docker(void)
{
	static const struct {
		const char *manifest, *config, *code;
	} cases[] = {
		{ "[]", CONFIG("linux", DIFF_ID), "image.archive" },
		{ "{}", CONFIG("linux", DIFF_ID), "image.archive" },
		{ "nonsense", CONFIG("linux", DIFF_ID), "json.syntax" },
		{ "[{},{}]", CONFIG("linux", DIFF_ID), "image.many_images" },
		{ DOCKER(""), CONFIG("linux", ""), "image.archive" },
		{ DOCKER("7"), CONFIG("linux", DIFF_ID), "image.archive" },
		{ DOCKER("\"gone\""), CONFIG("linux", DIFF_ID), "image.archive" },
		{ DOCKER("\"/etc/passwd\""), CONFIG("linux", DIFF_ID), "image.archive" },
		{ DOCKER("\"l\""), CONFIG("linux", ""), "oci.config" },
		{ DOCKER("\"l\""), CONFIG("windows", DIFF_ID), "image.platform" },
		{ "[{\"Layers\":[\"l\"]}]", CONFIG("linux", DIFF_ID), "image.archive" },
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct file files[] = { { .name = "manifest.json",
						      .text = cases[i].manifest },
			{ .name = "c.json", .text = cases[i].config }, { .name = "l", .text = "x" },
			{ .name = NULL } };

		CHECK_FAILS(open_files(files, &err), &err, cases[i].code);
	}
}

/* What breaks out ends in the test's own folder, whichever way it goes. */
static void check_hostile(void)
{
	auto_free char *escape = mem_printf("%s/escape", folder);
	const struct file absolute[] = { { .name = escape, .text = "x" }, { .name = NULL } };
	static const struct file cases[][3] = {
		{ { .name = "../escape", .text = "x" } },
		{ { .name = "a/../../escape", .text = "x" } },
		{ { .name = "a//b", .text = "x" } },
		{ { .name = "blobs/sha256/..", .text = "x" } },
		{ { .name = "index.json", .text = "x" }, { .name = "index.json", .text = "y" } },
		{ { .name = "l", .kind = AE_IFLNK, .link = "x" }, { .name = "l", .text = "y" } },
		{ { .name = "index.json", .text = "x" },
			{ .name = "hard", .kind = HARD_LINK, .link = "index.json" } },
		{ { .name = "layer.tar", .kind = AE_IFLNK, .link = "/nowhere" } },
		{ { .name = "a/layer.tar", .kind = AE_IFLNK, .link = "../../passwd" } },
		{ { .name = "pipe", .kind = AE_IFIFO } },
		{ { .name = "device", .kind = AE_IFCHR } },
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CHECK_FAILS(open_files(cases[i], &err), &err, "image.archive_unsafe");
	CHECK_FAILS(open_files(absolute, &err), &err, "image.archive_unsafe");
	CHECK(access(escape, F_OK) < 0);
}

/* A blob that is a link in the archive is not there in the layout. */
static void check_linked_blob(void)
{
#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	struct err err;

	CHECK_FAILS(
		open_files(
			(const struct file[]) {
				{ .name = "oci-layout",
					.text = "{\"imageLayoutVersion\":\"1.0.0\"}" },
				{ .name = "index.json",
					.text = "{\"schemaVersion\":2,\"manifests\":[{"
						"\"mediaType\":\"" OCI_TYPE_MANIFEST
						"\",\"digest\":\"sha256:" HEX "\",\"size\":1}]}" },
				{ .name = "blobs/sha256/" HEX,
					.kind = AE_IFLNK,
					.link = "../../index.json" },
				{ .name = NULL } },
			&err),
		&err, "oci.no_blob");
}

static void check_too_many(void)
{
	struct file *files = mem_array(IMAGE_MAX_ENTRIES + 2, sizeof(*files));
	struct err err;

	for (size_t i = 0; i <= IMAGE_MAX_ENTRIES; i++)
		files[i] = (struct file) { .name = "folder/", .kind = AE_IFDIR };
	CHECK_FAILS(open_files(files, &err), &err, "image.archive_unsafe");
	free(files);
}

static void check_no_archive(void)
{
	static struct image_source source;
	auto_free char *path = mem_printf("%s/text", folder), *dir = mem_printf("%s/un", folder);
	struct err err;

	CHECK_FAILS(open_files((const struct file[]) { { .name = "readme", .text = "x" },
				       { .name = NULL } },
			    &err),
		&err, "image.archive");
	CHECK(buf_write_file(path, "this is no archive", 18, 0600, &err) == 0);
	CHECK_FAILS(image_source_open(path, dir, &source, &err), &err, "image.archive");
	CHECK_FAILS(image_source_open("/nowhere", dir, &source, &err), &err, "image.archive");
	CHECK_FAILS(image_source_open(folder, dir, &source, &err), &err, "oci.layout");
}

int main(void)
{
	struct err err;

	if (!mkdtemp(folder))
		return 1;
	check_docker();
	check_bad_docker();
	check_hostile();
	check_linked_blob();
	check_too_many();
	check_no_archive();
	CHECK(files_tree_remove(folder, &err) == 0);
	CHECK_DONE();
}
