/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacking what a hostile program packed: only plain files and folders come out, and nothing
 * beside the folder. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/files.h"
#include "client/untar.h"
#include "lib/buf.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

struct member {
	const char *name;
	unsigned type;
	const char *content; /* or target */
	bool is_hardlink;
};

static void add(struct archive *archive, const struct member *member)
{
	struct archive_entry *entry = archive_entry_new();
	bool is_file = member->type == AE_IFREG && !member->is_hardlink;

	archive_entry_set_pathname(entry, member->name);
	archive_entry_set_filetype(entry, member->type);
	archive_entry_set_perm(entry, 06777);
	archive_entry_set_size(entry, is_file ? (la_int64_t)strlen(member->content) : 0);
	if (member->type == AE_IFLNK)
		archive_entry_set_symlink(entry, member->content);
	if (member->is_hardlink)
		archive_entry_set_hardlink(entry, member->content);
	archive_write_header(archive, entry);
	if (is_file)
		archive_write_data(archive, member->content, strlen(member->content));
	archive_entry_free(entry);
}

static int unpack(const struct member *members, size_t n, struct err *err)
{
	struct archive *archive = archive_write_new();
	auto_fd int fd = files_unnamed(".", err);

	archive_write_set_format_pax_restricted(archive);
	archive_write_open_fd(archive, fd);
	for (size_t i = 0; i < n; i++)
		add(archive, &members[i]);
	archive_write_free(archive);
	CHECK_NUMBER(files_tree_remove("out", err), 0);
	CHECK_NUMBER(mkdir("out", 0755), 0);
	return untar(fd, "out", err);
}

static void test_plain(void)
{
	static const struct member members[] = {
		{ "result.json", AE_IFREG, "{}", false },
		{ "output/", AE_IFDIR, "", false },
		{ "output/a/b.csv", AE_IFREG, "1,2\n", false },
		{ "output/empty", AE_IFREG, "", false },
		{ "output/..x", AE_IFREG, "y", false },
	};
	auto_buf text = BUF_INIT(100);
	struct err err = { 0 };
	struct stat st;

	CHECK_NUMBER(unpack(members, ARRAY_LEN(members), &err), 0);
	CHECK_NUMBER(buf_read_file(&text, "out/output/a/b.csv", &err), 0);
	CHECK_TEXT((char *)text.data, "1,2\n");
	CHECK(stat("out/output/empty", &st) == 0 && (st.st_mode & 07111) == 0);
}

/* What breaks out ends in the test's own folder, whichever way it goes. */
static void refuses(const struct member *members, size_t n)
{
	struct err err = { 0 };

	CHECK_FAILS(unpack(members, n, &err), &err, "output.unsafe");
	CHECK(access("victim", F_OK) < 0);
}

static void test_hostile(const char *folder)
{
	auto_free char *victim = mem_printf("%s/victim", folder);
	const struct member absolute = { victim, AE_IFREG, "x", false };
	static const struct member one[][1] = {
		{ { "../victim", AE_IFREG, "x", false } },
		{ { "output/../../victim", AE_IFREG, "x", false } },
		{ { "./x", AE_IFREG, "x", false } },
		{ { "a//b", AE_IFREG, "x", false } },
		{ { "link", AE_IFLNK, "../victim", false } },
		{ { "hard", AE_IFREG, "../victim", true } },
		{ { "pipe", AE_IFIFO, "", false } },
		{ { "device", AE_IFCHR, "", false } },
	};
	static const struct member twice[] = { { "a", AE_IFREG, "x", false },
		{ "a", AE_IFREG, "y", false } };
	static const struct member through[] = { { "up", AE_IFLNK, "..", false },
		{ "up/victim", AE_IFREG, "x", false } };
	static const struct member below[] = { { "a", AE_IFREG, "x", false },
		{ "a/b", AE_IFREG, "y", false } };

	for (size_t i = 0; i < ARRAY_LEN(one); i++)
		refuses(one[i], 1);
	refuses(twice, 2);
	refuses(below, 2);
	refuses(through, 2);
	refuses(&absolute, 1);
}

static void test_no_tar(void)
{
	auto_fd int fd = -1;
	struct err err = { 0 };

	fd = files_unnamed(".", &err);
	CHECK(fd >= 0 && write(fd, "this is no archive at all, however long it may be", 49) == 49);
	CHECK_NUMBER(files_tree_remove("out", &err), 0);
	CHECK_NUMBER(mkdir("out", 0755), 0);
	CHECK_FAILS(untar(fd, "out", &err), &err, "output.unsafe");
}

int main(void)
{
	char folder[] = "/tmp/strongroom-untar-XXXXXX";
	struct err err = { 0 };

	CHECK(mkdtemp(folder) && chdir(folder) == 0);
	test_plain();
	test_hostile(folder);
	test_no_tar();
	CHECK(chdir("/") == 0);
	CHECK_NUMBER(files_tree_remove(folder, &err), 0);
	CHECK_DONE();
}
