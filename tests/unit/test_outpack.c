/* SPDX-License-Identifier: Apache-2.0 */
/* Packs hostile folders and reads the tar back with another reader of the format: libarchive's own,
 * and tar(1)'s rules. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <jansson.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/outpack.h"
#include "lib/buf.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static char root[] = "/tmp/test_outpack.XXXXXX";

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	CHECK(file && fputs(text, file) >= 0);
	if (file)
		fclose(file);
}

static int collect(void *arg, const void *data, size_t len, struct err *err)
{
	return buf_add(arg, data, len, err);
}

static int refuse(void *arg, const void *data, size_t len, struct err *err)
{
	(void)arg, (void)data, (void)len;
	return err_set(err, ERR_UPSTREAM, "test.sink", "no");
}

static struct outpack_conf base_conf(void)
{
	static const char *const hits[] = { "wall", NULL };

	return (struct outpack_conf) { .output_dir = ".",
		.returncode = 137,
		.signal = 9,
		.limits_hit = hits,
		.stdout_data = "out\n",
		.stdout_len = 4,
		.stderr_data = NULL,
		.stderr_len = 0,
		.max_bytes = 1 << 20,
		.max_files = 100 };
}

/* Names of the tar in order, one a line; content of result.json into *ret_json. */
static char *names_of(const struct buf *tar, json_t **ret_json)
{
	struct archive *reader = archive_read_new();
	struct buf names = BUF_INIT(1 << 20);
	struct archive_entry *entry;
	char text[8192];

	archive_read_support_format_tar(reader);
	CHECK(archive_read_open_memory(reader, tar->data, tar->len) == ARCHIVE_OK);
	while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
		CHECK(buf_printf(&names, NULL, "%s\n", archive_entry_pathname(entry)) == 0);
		CHECK(archive_entry_filetype(entry) == AE_IFREG ||
			archive_entry_filetype(entry) == AE_IFDIR);
		if (ret_json && strcmp(archive_entry_pathname(entry), "result.json") == 0) {
			la_ssize_t len = archive_read_data(reader, text, sizeof(text));

			*ret_json = json_loadb(text, len > 0 ? (size_t)len : 0, 0, NULL);
		}
	}
	archive_read_free(reader);
	return (char *)names.data;
}

static const char *reason_of(const json_t *result, const char *path)
{
	const json_t *skipped = json_object_get(result, "skipped");

	for (size_t i = 0; i < json_array_size(skipped); i++) {
		const json_t *row = json_array_get(skipped, i);

		if (strcmp(json_string_value(json_object_get(row, "path")), path) == 0)
			return json_string_value(json_object_get(row, "reason"));
	}
	return "";
}

static void enter(const char *name)
{
	CHECK(chdir(root) == 0 && mkdir(name, 0755) == 0 && chdir(name) == 0);
}

static void test_plain(void)
{
	struct outpack_conf conf = base_conf();
	struct buf tar = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	struct outpack_result result;
	struct err err = { 0 };
	json_t *json = NULL;
	char *names;

	enter("plain");
	CHECK(mkdir("b", 0755) == 0 && mkdir("b/empty", 0700) == 0);
	put("b/file", "hello");
	put("a.txt", "world!");
	put("z\xc3\xa4hlung", "utf-8");
	put("bytes\xff\n", "not utf-8");
	CHECK(outpack_write(&conf, collect, &tar, &result, &err) == 0);
	CHECK(outpack_write(&conf, collect, &again, NULL, &err) == 0);
	CHECK(tar.len == again.len && memcmp(tar.data, again.data, tar.len) == 0);
	CHECK_NUMBER(result.files, 6);
	CHECK_NUMBER(result.bytes, 5 + 6 + 5 + 9);
	CHECK_NUMBER(result.skipped, 0);
	names = names_of(&tar, &json);
	CHECK_TEXT(names,
		"result.json\nstdout\nstderr\noutput/\noutput/a.txt\noutput/b/\noutput/b/empty/\n"
		"output/b/file\noutput/bytes\xff\n\noutput/z\xc3\xa4hlung\n");
	CHECK_NUMBER(json_integer_value(json_object_get(json, "returncode")), 137);
	CHECK_NUMBER(json_integer_value(json_object_get(json, "signal")), 9);
	CHECK_TEXT(
		json_string_value(json_array_get(json_object_get(json, "limits_hit"), 0)), "wall");
	free(names);
	json_decref(json);
	buf_release(&tar);
	buf_release(&again);
}

static void make_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	close(fd);
}

static void test_hostile(void)
{
	struct outpack_conf conf = base_conf();
	struct buf tar = BUF_INIT(1 << 20);
	struct err err = { 0 };
	json_t *json = NULL;
	char *names;

	CHECK(chdir(root) == 0);
	put("secret", "not for you");
	enter("hostile");
	CHECK(symlink("../secret", "link") == 0 && symlink("..", "up") == 0 &&
		symlink("/", "root") == 0);
	CHECK(mkfifo("fifo", 0644) == 0);
	CHECK(link("../secret", "hard") == 0);
	put("twice", "2");
	CHECK(link("twice", "twice-again") == 0);
	CHECK(mkdir("dir", 0755) == 0 && symlink("../../secret", "dir/link") == 0);
	make_socket("socket");
	CHECK(outpack_write(&conf, collect, &tar, NULL, &err) == 0);
	names = names_of(&tar, &json);
	CHECK_TEXT(names, "result.json\nstdout\nstderr\noutput/\noutput/dir/\noutput/twice\noutput/"
			  "twice-again\n");
	CHECK_TEXT(reason_of(json, "link"), "symlink");
	CHECK_TEXT(reason_of(json, "up"), "symlink");
	CHECK_TEXT(reason_of(json, "root"), "symlink");
	CHECK_TEXT(reason_of(json, "dir/link"), "symlink");
	CHECK_TEXT(reason_of(json, "fifo"), "fifo");
	CHECK_TEXT(reason_of(json, "socket"), "socket");
	CHECK_TEXT(reason_of(json, "hard"), "hardlink");
	CHECK(memmem(tar.data, tar.len, "not for you", 11) == NULL);
	CHECK_NUMBER(json_integer_value(json_object_get(json, "skipped_count")), 7);
	free(names);
	json_decref(json);
	buf_release(&tar);
}

static void test_caps(void)
{
	struct outpack_conf conf = base_conf();
	struct buf tar = BUF_INIT(1 << 20);
	struct outpack_result result;
	struct err err = { 0 };
	json_t *json = NULL;
	char *names;

	enter("caps");
	put("small", "1234");
	put("sparse", "");
	CHECK(truncate("sparse", 1LL << 40) == 0);
	conf.max_bytes = 10;
	CHECK(outpack_write(&conf, collect, &tar, &result, &err) == 0);
	names = names_of(&tar, &json);
	CHECK_TEXT(names, "result.json\nstdout\nstderr\noutput/\noutput/small\n");
	CHECK_TEXT(reason_of(json, "sparse"), "size");
	free(names);
	json_decref(json);
	buf_release(&tar);
	conf.max_files = 1;
	CHECK(outpack_write(&conf, collect, &tar, &result, &err) == 0);
	CHECK_NUMBER(result.files + result.skipped, 2);
	CHECK(result.files <= 1);
	buf_release(&tar);
}

static void test_long_paths(void)
{
	struct outpack_conf conf = base_conf();
	struct buf tar = BUF_INIT(4 << 20);
	struct outpack_result result;
	struct err err = { 0 };
	char name[201];

	enter("long");
	memset(name, 'n', 200);
	name[200] = '\0';
	for (int i = 0; i < 20; i++)
		CHECK(mkdir(name, 0755) == 0 && chdir(name) == 0);
	CHECK(chdir(root) == 0 && chdir("long") == 0);
	CHECK(outpack_write(&conf, collect, &tar, &result, &err) == 0);
	CHECK_NUMBER(result.files, 5); /* 1,024 bytes of path */
	CHECK_NUMBER(result.skipped, 1);
	buf_release(&tar);
}

static void test_failures(void)
{
	struct outpack_conf conf = base_conf();
	struct err err = { 0 };

	CHECK(chdir(root) == 0);
	CHECK_FAILS(outpack_write(&conf, refuse, NULL, NULL, &err), &err, "test.sink");
	conf.output_dir = "absent";
	CHECK_FAILS(outpack_write(&conf, refuse, NULL, NULL, &err), &err, "internal.system");
	CHECK(symlink(".", "linked") == 0);
	conf.output_dir = "linked";
	CHECK_FAILS(outpack_write(&conf, refuse, NULL, NULL, &err), &err, "internal.system");
}

int main(void)
{
	auto_free char *clean = NULL;

	setlocale(LC_CTYPE, "C.UTF-8");
	CHECK(mkdtemp(root) != NULL);
	test_plain();
	test_hostile();
	test_caps();
	test_long_paths();
	test_failures();
	clean = mem_printf("rm -rf %s", root);
	CHECK(chdir("/") == 0 && system(clean) == 0); /* NOLINT: a name of our own */
	CHECK_DONE();
}
