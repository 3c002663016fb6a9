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
#include "client/output_folder.h"
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

static int packed(const struct member *members, size_t n, struct err *err)
{
	struct archive *archive = archive_write_new();
	int fd = files_unnamed(".", err);

	archive_write_set_format_pax_restricted(archive);
	archive_write_open_fd(archive, fd);
	for (size_t i = 0; i < n; i++)
		add(archive, &members[i]);
	archive_write_free(archive);
	return fd;
}

static int unpack(const struct member *members, size_t n, struct err *err)
{
	auto_fd int fd = packed(members, n, err);

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

/* --- in the place of an earlier one --- */

static void put(const char *path)
{
	struct err err = { 0 };

	CHECK_NUMBER(buf_write_file(path, "mine", 4, 0644, &err), 0);
}

static bool is_mine(const char *path)
{
	auto_buf text = BUF_INIT(100);
	struct err err = { 0 };

	return buf_read_file(&text, path, &err) == 0 && strcmp((char *)text.data, "mine") == 0;
}

static int replace(const char *dest, const char *content, struct err *err)
{
	const struct member members[] = { { "result.json", AE_IFREG, content, false },
		{ "output/x.csv", AE_IFREG, content, false } };
	auto_fd int fd = packed(members, ARRAY_LEN(members), err);

	return output_folder_replace(fd, dest, err);
}

static void test_only_an_earlier_output_gives_way(void)
{
	static const char *const own[] = { "place.old", "place.new" };
	struct err err = { 0 };
	auto_buf text = BUF_INIT(100);

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		put(own[i]);
	CHECK_NUMBER(mkdir("place", 0755), 0);
	CHECK_NUMBER(replace("place/", "1", &err), 0);
	CHECK_NUMBER(replace("place", "2", &err), 0);
	CHECK_NUMBER(buf_read_file(&text, "place/output/x.csv", &err), 0);
	CHECK_TEXT((char *)text.data, "2");
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		CHECK(is_mine(own[i]));
	CHECK(access(".place.strongroom", F_OK) < 0);
	put("place/notes");
	CHECK_FAILS(replace("place", "3", &err), &err, "output.in_the_way");
	CHECK(is_mine("place/notes") && access("place/output/x.csv", F_OK) == 0);
	CHECK_NUMBER(replace("deep/er/place", "4", &err), 0);
	CHECK(access("deep/er/place/result.json", F_OK) == 0);
}

/* Folders of others that only look a little like an output, a file, a link. */
static void test_what_is_not_ours_stays(void)
{
	struct err err = { 0 };

	CHECK_NUMBER(files_make_dirs("theirs/output", 0755, &err), 0);
	put("theirs/output/x");
	CHECK_FAILS(replace("theirs", "1", &err), &err, "output.in_the_way");
	CHECK(is_mine("theirs/output/x"));
	put("file");
	CHECK_FAILS(replace("file", "1", &err), &err, "output.in_the_way");
	CHECK(is_mine("file"));
	CHECK_NUMBER(symlink("deep", "link"), 0);
	CHECK_FAILS(replace("link", "1", &err), &err, "output.in_the_way");
	CHECK_NUMBER(files_make_dirs(".out2.strongroom/new", 0755, &err), 0); /* left by a kill */
	CHECK_NUMBER(replace("out2", "1", &err), 0);
	CHECK_NUMBER(mkdir(".out2.strongroom", 0755), 0);
	put(".out2.strongroom/x");
	CHECK_FAILS(replace("out2", "2", &err), &err, "output.in_the_way");
	CHECK(is_mine(".out2.strongroom/x"));
}

static const struct member unsafe = { "link", AE_IFLNK, "../victim", false };

/* The client was killed behind the first rename, and what it brings next is refused. */
static void test_an_earlier_output_outlives_a_kill(void)
{
	struct err err = { 0 };
	auto_buf text = BUF_INIT(100);
	auto_fd int fd = packed(&unsafe, 1, &err);

	CHECK_NUMBER(replace("kept", "1", &err), 0);
	CHECK_NUMBER(files_make_dirs(".kept.strongroom/new", 0755, &err), 0);
	CHECK_NUMBER(rename("kept", ".kept.strongroom/old"), 0);
	CHECK_FAILS(output_folder_replace(fd, "kept", &err), &err, "output.unsafe");
	CHECK_NUMBER(buf_read_file(&text, "kept/output/x.csv", &err), 0);
	CHECK_TEXT((char *)text.data, "1");
	CHECK(access(".kept.strongroom", F_OK) < 0);
}

static void test_nothing_is_left_of_what_is_refused(void)
{
	struct err err = { 0 };
	auto_fd int fd = packed(&unsafe, 1, &err);

	CHECK_FAILS(output_folder_replace(fd, "refused", &err), &err, "output.unsafe");
	CHECK(access("refused", F_OK) < 0 && access(".refused.strongroom", F_OK) < 0);
}

int main(void)
{
	char folder[] = "/tmp/strongroom-untar-XXXXXX";
	struct err err = { 0 };

	CHECK(mkdtemp(folder) && chdir(folder) == 0);
	test_plain();
	test_hostile(folder);
	test_no_tar();
	test_only_an_earlier_output_gives_way();
	test_what_is_not_ours_stays();
	test_an_earlier_output_outlives_a_kill();
	test_nothing_is_left_of_what_is_refused();
	CHECK(chdir("/") == 0);
	CHECK_NUMBER(files_tree_remove(folder, &err), 0);
	CHECK_DONE();
}
