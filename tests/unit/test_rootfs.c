/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers written entry by entry with libarchive, most of them hostile, unpacked by rootfs.c. They
 * remove and overwrite what lies outside when the code under test is broken, so nothing here runs
 * before confine() has put the process into a root of its own. Never take that away: without it one
 * missing check empties the machine's /tmp.
 */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/rootfs.h"
#include "lib/buf.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static const char base[] = "/tests"; /* inside the root of confine() */
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
		static char bytes[1 << 20];
		ssize_t len = read(plain, bytes, sizeof(bytes));

		CHECK(len > 0);
		digest_text(bytes, len > 0 ? (size_t)len : 0, expected);
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

/* This process alone under /proc of the new root: the leak checker looks for it there. */
static void show_own_proc(const char *root)
{
	auto_free char *proc = mem_printf("%s/proc", root);
	auto_free char *self = mem_printf("%s/self", proc);
	auto_free char *inside = mem_printf("%s/%d", proc, getpid());
	auto_free char *outside = mem_printf("/proc/%d", getpid());

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mkdir(proc, 0755) < 0 ||
		mkdir(inside, 0755) < 0 || symlink(strrchr(inside, '/') + 1, self) < 0 ||
		mount(outside, inside, NULL, MS_BIND, NULL) < 0)
		printf("no /proc for the leak checker\n");
}

/* chroot in a mount namespace of its own, and in a user namespace when this is not root. */
static int confine(const char *root)
{
	struct stat ours, outside;

	if (stat("/", &outside) < 0 ||
		unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) < 0)
		return -1;
	show_own_proc(root);
	if (chroot(root) < 0 || chdir("/") < 0 || stat("/..", &ours) < 0)
		return -1;
	return ours.st_ino == outside.st_ino && ours.st_dev == outside.st_dev ? -1 : 0;
}

static int run_confined(const char *root)
{
	struct err err = { 0 };

	if (confine(root) < 0) {
		printf("refusing to run: cannot be confined\n");
		return 1;
	}
	CHECK(mkdir(base, 0755) == 0);
	CHECK(buf_write_file("/tests/victim", "untouched", 9, 0644, &err) == 0);
	test_good();
	test_whiteouts();
	test_replacement();
	test_escapes();
	test_contained();
	test_broken();
	test_caps();
	test_put_file();
	CHECK_DONE();
}

int main(void)
{
	char root[] = "/tmp/test_rootfs.XXXXXX";
	auto_free char *clean = NULL;
	int status = 1;
	pid_t pid;

	setlocale(LC_CTYPE, "C.UTF-8"); /* its file is not there inside */
	if (!mkdtemp(root))
		return 1;
	pid = fork();
	if (pid == 0)
		exit(run_confined(root));
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	clean = mem_printf("rm -rf %s", root);
	return system(clean) != 0 || status != 0; /* NOLINT: a name of our own */
}
