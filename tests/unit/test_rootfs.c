/* SPDX-License-Identifier: Apache-2.0 */
/* Layers written entry by entry with libarchive, most of them hostile, unpacked by rootfs.c. */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/rootfs.h"
#include "lib/buf.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static char base[] = "/tmp/test_rootfs.XXXXXX";
static int dir_count;

enum packing { PLAIN, GZIP, ZSTD };

struct item {
	const char *path;
	char type;	  /* f file, d folder, l symlink, h hardlink, c device, p fifo */
	const char *text; /* content or target */
	unsigned mode;
};

static void write_item(struct archive *tar, const struct item *item)
{
	static const struct {
		char type;
		unsigned filetype;
	} types[] = { { 'f', AE_IFREG }, { 'd', AE_IFDIR }, { 'l', AE_IFLNK }, { 'h', AE_IFREG },
		{ 'c', AE_IFCHR }, { 'p', AE_IFIFO } };
	struct archive_entry *entry = archive_entry_new();

	archive_entry_set_pathname(entry, item->path);
	archive_entry_set_perm(entry, item->mode ? item->mode : 0755);
	archive_entry_set_mtime(entry, 1000000000, 0);
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == item->type)
			archive_entry_set_filetype(entry, types[i].filetype);
	if (item->type == 'f')
		archive_entry_set_size(entry, (la_int64_t)strlen(item->text));
	else if (item->type == 'l')
		archive_entry_set_symlink(entry, item->text);
	else if (item->type == 'h')
		archive_entry_set_hardlink(entry, item->text);
	CHECK(archive_write_header(tar, entry) >= ARCHIVE_WARN);
	if (item->type == 'f')
		CHECK(archive_write_data(tar, item->text, strlen(item->text)) >= 0);
	archive_entry_free(entry);
}

/* A layer in a memfd, at its start; ends at the item without a path. */
static int layer(enum packing packing, const struct item *items)
{
	struct archive *tar = archive_write_new();
	int fd = memfd_create("layer", MFD_CLOEXEC);

	archive_write_set_format_pax_restricted(tar);
	if (packing == GZIP)
		archive_write_add_filter_gzip(tar);
	else if (packing == ZSTD)
		archive_write_add_filter_zstd(tar);
	archive_write_open_fd(tar, fd);
	for (; items->path; items++)
		write_item(tar, items);
	archive_write_close(tar);
	archive_write_free(tar);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static struct rootfs *fresh(void)
{
	static char dir[128];
	struct rootfs_conf conf = { .dir = dir, .max_bytes = 1 << 20, .max_files = 50 };
	struct rootfs *rootfs = NULL;
	struct err err = { 0 };

	snprintf(dir, sizeof(dir), "%s/%d", base, dir_count++);
	CHECK(mkdir(dir, 0755) == 0);
	CHECK(rootfs_new(&conf, &rootfs, &err) == 0);
	CHECK(chdir(dir) == 0);
	return rootfs;
}

static int unpack(
	struct rootfs *rootfs, enum packing packing, const struct item *items, struct err *err)
{
	char diff_id[DIGEST_TEXT_SIZE];
	auto_fd int fd = layer(packing, items);

	return rootfs_layer(rootfs, fd, diff_id, err);
}

static void check_file(const char *path, const char *text)
{
	auto_buf data = BUF_INIT(4096);
	struct err err = { 0 };

	CHECK(buf_read_file(&data, path, &err) == 0);
	CHECK_TEXT(data.data ? (const char *)data.data : "", text);
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void test_good(void)
{
	static const struct item items[] = { { "./", 'd', NULL, 0 }, { "bin/", 'd', NULL, 0 },
		{ "bin/sh", 'f', "#!", 04755 }, { "bin/ash", 'h', "bin/sh", 0 },
		{ "lib", 'l', "usr/lib", 0 }, { "usr/lib/", 'd', NULL, 0 },
		{ "lib/so", 'f', "elf", 0644 }, { "tmp/", 'd', NULL, 01777 },
		{ "a/b/c/deep", 'f', "x", 0600 }, { "/absolute", 'f', "inside", 0644 },
		{ "n\xc3\xa4me", 'f', "u", 0644 }, { 0 } };
	char plain_id[DIGEST_TEXT_SIZE], expected[DIGEST_TEXT_SIZE];
	struct err err = { 0 };
	struct stat st;

	for (int packing = PLAIN; packing <= ZSTD; packing++) {
		struct rootfs *rootfs = fresh();
		auto_fd int fd = layer(packing, items), plain = layer(PLAIN, items);
		auto_buf bytes = BUF_INIT(1 << 20);
		char name[64];

		snprintf(name, sizeof(name), "/proc/self/fd/%d", plain);
		CHECK(buf_read_file(&bytes, name, &err) == 0);
		digest_text(bytes.data, bytes.len, expected);
		CHECK(rootfs_layer(rootfs, fd, plain_id, &err) == 0);
		CHECK_TEXT(plain_id, expected);
		check_file("bin/ash", "#!");
		check_file("usr/lib/so", "elf");
		check_file("a/b/c/deep", "x");
		check_file("absolute", "inside");
		check_file("n\xc3\xa4me", "u");
		CHECK(stat("bin/sh", &st) == 0 && (st.st_mode & 07777) == 0755 &&
			st.st_mtime == 1000000000);
		CHECK(stat("tmp", &st) == 0 && (st.st_mode & 07777) == 01777);
		rootfs_free(rootfs);
	}
}

static void test_whiteouts(void)
{
	static const struct item lower[] = { { "keep", 'f', "1", 0 }, { "gone", 'f', "1", 0 },
		{ "tree/a", 'f', "1", 0 }, { "tree/sub/b", 'f', "1", 0 },
		{ "opaque/old", 'f', "1", 0 }, { "opaque/sub/old", 'f', "1", 0 }, { 0 } };
	static const struct item upper[] = { { ".wh.gone", 'f', "", 0 }, { ".wh.tree", 'f', "", 0 },
		{ "opaque/new", 'f', "2", 0 }, { "opaque/sub/new", 'f', "2", 0 },
		{ "opaque/.wh..wh..opq", 'f', "", 0 }, { "absent/.wh.x", 'f', "", 0 },
		{ ".wh..wh.plnk", 'f', "", 0 }, { 0 } };
	struct rootfs *rootfs = fresh();
	struct err err = { 0 };

	CHECK(unpack(rootfs, PLAIN, lower, &err) == 0);
	CHECK(unpack(rootfs, GZIP, upper, &err) == 0);
	check_file("keep", "1");
	CHECK(!is_there("gone") && !is_there("tree") && !is_there(".wh.gone") &&
		!is_there("absent"));
	CHECK(!is_there("opaque/old") && !is_there("opaque/sub/old"));
	check_file("opaque/new", "2");
	check_file("opaque/sub/new", "2");
	rootfs_free(rootfs);
}

static void test_replacement(void)
{
	static const struct item lower[] = { { "file", 'f', "1", 0 }, { "dir/x", 'f', "1", 0 },
		{ "link", 'l', "/etc", 0 }, { "both/x", 'f', "1", 0 }, { 0 } };
	static const struct item upper[] = { { "file/y", 'd', NULL, 0 }, { 0 } };
	static const struct item change[] = { { "file", 'd', NULL, 0 }, { "dir", 'f', "2", 0 },
		{ "link", 'd', NULL, 0 }, { "link/passwd", 'f', "2", 0 },
		{ "both", 'd', NULL, 0700 }, { 0 } };
	struct rootfs *rootfs = fresh();
	struct err err = { 0 };

	CHECK(unpack(rootfs, PLAIN, lower, &err) == 0);
	CHECK_FAILS(unpack(rootfs, PLAIN, upper, &err), &err, "image.layer_path");
	CHECK(unpack(rootfs, PLAIN, change, &err) == 0);
	CHECK(is_there("file") && is_there("both/x") && !is_there("dir/x"));
	check_file("dir", "2");
	check_file("link/passwd", "2");
	rootfs_free(rootfs);
}

/* Each must be refused with that code, and leave `victim` beside the folder alone. */
static void test_escapes(void)
{
	static const struct {
		const char *code;
		struct item items[4];
	} cases[] = {
		{ "image.layer_path", { { "../victim", 'f', "owned", 0 } } },
		{ "image.layer_path", { { "a/../../victim", 'f', "owned", 0 } } },
		{ "image.layer_path", { { "..", 'd', NULL, 0 } } },
		{ "image.layer_path", { { ".wh...", 'f', "", 0 } } },
		{ "image.layer_path", { { ".wh.", 'f', "", 0 } } },
		{ "image.layer_path", { { "x", 'f', "", 0 }, { "x/y", 'f', "", 0 } } },
		{ "image.layer_path",
			{ { "dangling", 'l', "nowhere", 0 }, { "dangling/y", 'f', "", 0 } } },
		{ "image.layer_path", { { "loop", 'l', "loop", 0 }, { "loop/y", 'f', "", 0 } } },
		{ "image.layer_path", { { "h", 'h', "../victim", 0 } } },
		{ "image.layer_link", { { "h", 'h', "victim", 0 } } },
		{ "image.layer_link", { { "d", 'd', NULL, 0 }, { "h", 'h', "d", 0 } } },
		{ "image.layer_type", { { "sda", 'c', NULL, 0 } } },
		{ "image.layer_type", { { "pipe", 'p', NULL, 0 } } },
	};
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rootfs *rootfs = fresh();

		CHECK_FAILS(unpack(rootfs, PLAIN, cases[i].items, &err), &err, cases[i].code);
		check_file("../victim", "untouched");
		rootfs_free(rootfs);
	}
}

/* Links that point outside are kept as they are, and resolved inside. */
static void test_contained(void)
{
	static const struct item items[] = { { "up", 'l', "../..", 0 },
		{ "up/victim", 'f', "mine", 0 }, { "abs", 'l', "/", 0 },
		{ "abs/second", 'f', "mine", 0 }, { "self", 'l', "../victim", 0 },
		{ "self", 'f', "replaced", 0 }, { "etc", 'l', "/proc/self/root/etc", 0 },
		{ "hard", 'h', "up/victim", 0 }, { 0 } };
	static const struct item removal[] = { { "up/.wh.victim", 'f', "", 0 },
		{ "up/.wh..wh..opq", 'f', "", 0 }, { 0 } };
	static const struct item through[] = { { "etc", 'l', "/proc/self/root/etc", 0 },
		{ "etc/owned", 'f', "", 0 }, { 0 } };
	struct rootfs *rootfs = fresh();
	struct err err = { 0 };

	CHECK(unpack(rootfs, ZSTD, items, &err) == 0);
	check_file("victim", "mine");
	check_file("second", "mine");
	check_file("self", "replaced");
	check_file("hard", "mine");
	check_file("../victim", "untouched");
	CHECK(unpack(rootfs, PLAIN, removal, &err) == 0);
	CHECK(!is_there("victim") && !is_there("second"));
	check_file("../victim", "untouched");
	CHECK(unpack(rootfs, PLAIN, through, &err) == -1);
	CHECK(!is_there("/etc/owned"));
	rootfs_free(rootfs);
}

static void test_broken(void)
{
	static const struct item items[] = { { "file", 'f', "some content that is cut", 0 },
		{ 0 } };
	char diff_id[DIGEST_TEXT_SIZE];
	struct err err = { 0 };

	for (int packing = PLAIN; packing <= ZSTD; packing++) {
		struct rootfs *rootfs = fresh();
		auto_fd int fd = layer(packing, items);
		off_t len = lseek(fd, 0, SEEK_END);

		CHECK(ftruncate(fd, packing == PLAIN ? 520 : len - 9) == 0 &&
			lseek(fd, 0, SEEK_SET) == 0);
		CHECK_FAILS(rootfs_layer(rootfs, fd, diff_id, &err), &err, "image.layer_archive");
		CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
		CHECK_FAILS(rootfs_layer(rootfs, fd, diff_id, &err), &err, "image.layer_archive");
		CHECK(write(fd, "this is no tar at all", 21) == 21 && lseek(fd, 0, SEEK_SET) == 0);
		CHECK_FAILS(rootfs_layer(rootfs, fd, diff_id, &err), &err, "image.layer_archive");
		rootfs_free(rootfs);
	}
}

static void test_caps(void)
{
	static char big[2 << 20];
	const struct item bomb[] = { { "big", 'f', big, 0 }, { 0 } };
	struct item many[60] = { 0 };
	struct rootfs *rootfs = fresh();
	struct err err = { 0 };

	memset(big, 'x', sizeof(big) - 1);
	CHECK_FAILS(unpack(rootfs, GZIP, bomb, &err), &err, "image.too_large");
	rootfs_free(rootfs);
	for (size_t i = 0; i < ARRAY_LEN(many) - 1; i++)
		many[i] = (struct item) { "same", 'f', "", 0 };
	rootfs = fresh();
	CHECK_FAILS(unpack(rootfs, PLAIN, many, &err), &err, "image.too_large");
	rootfs_free(rootfs);
}

static void test_put_file(void)
{
	static const struct item items[] = { { "etc", 'l', "../../..", 0 },
		{ "conf", 'l', "/victim", 0 }, { 0 } };
	struct rootfs *rootfs = fresh();
	struct err err = { 0 };
	struct stat st;

	CHECK(unpack(rootfs, PLAIN, items, &err) == 0);
	CHECK(rootfs_put_file(rootfs, "/conf", "text", 4, 0640, &err) == 0);
	CHECK(rootfs_put_file(rootfs, "/etc/victim", "text", 4, 0644, &err) == 0);
	CHECK(rootfs_put_file(rootfs, "/opt/x/y", "deep", 4, 0644, &err) == 0);
	check_file("conf", "text");
	check_file("victim", "text");
	check_file("opt/x/y", "deep");
	CHECK(lstat("conf", &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0640);
	check_file("../victim", "untouched");
	CHECK_FAILS(
		rootfs_put_file(rootfs, "/a/../b", "", 0, 0644, &err), &err, "image.layer_path");
	CHECK_FAILS(rootfs_put_file(rootfs, "/", "", 0, 0644, &err), &err, "image.layer_path");
	rootfs_free(rootfs);
}

int main(void)
{
	auto_free char *victim = NULL, *clean = NULL;
	struct err err = { 0 };

	setlocale(LC_CTYPE, "C.UTF-8");
	CHECK(mkdtemp(base) != NULL);
	victim = mem_printf("%s/victim", base);
	CHECK(buf_write_file(victim, "untouched", 9, 0644, &err) == 0);
	test_good();
	test_whiteouts();
	test_replacement();
	test_escapes();
	test_contained();
	test_broken();
	test_caps();
	test_put_file();
	clean = mem_printf("rm -rf %s", base);
	CHECK(chdir("/") == 0 && system(clean) == 0); /* NOLINT: a name of our own */
	CHECK_DONE();
}
