/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the tar of outpack.h with libarchive, from the list that outpack_tree.c made. */
#include "agent/outpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/outpack_tree.h"
#include "lib/json.h"
#include "lib/mem.h"

#define BLOCK (64 << 10)
#define MAX_NAMED 100 /* left-out entries that result.json lists */

struct packer {
	struct archive *archive;
	outpack_sink *sink;
	void *arg;
	struct err *err;
	bool sink_failed; /* then `err` has its reason */
};

static la_ssize_t on_write(struct archive *archive, void *arg, const void *data, size_t len)
{
	struct packer *packer = arg;

	if (packer->sink(packer->arg, data, len, packer->err) == 0)
		return (la_ssize_t)len;
	packer->sink_failed = true;
	archive_set_error(archive, EIO, "sink");
	return -1;
}

static int failed(const struct packer *packer)
{
	const char *reason = archive_error_string(packer->archive);

	if (packer->sink_failed)
		return -1;
	return err_set(packer->err, ERR_INTERNAL, "output.pack", "%s", reason ? reason : "tar");
}

static int put_header(
	struct packer *packer, const char *path, mode_t mode, long long size, long long mtime)
{
	struct archive_entry *entry = archive_entry_new();
	int rc;

	archive_entry_set_pathname(entry, path);
	archive_entry_set_mode(entry, mode);
	archive_entry_set_size(entry, size);
	archive_entry_set_mtime(entry, (time_t)mtime, 0);
	rc = archive_write_header(packer->archive, entry);
	archive_entry_free(entry);
	return rc < ARCHIVE_WARN ? failed(packer) : 0;
}

static int put_data(struct packer *packer, const void *data, size_t len)
{
	return len > 0 && archive_write_data(packer->archive, data, len) < 0 ? failed(packer) : 0;
}

static int put_text(struct packer *packer, const char *path, const void *data, size_t len)
{
	if (put_header(packer, path, S_IFREG | 0644, (long long)len, 0) < 0)
		return -1;
	return put_data(packer, data, len);
}

static int put_content(struct packer *packer, int fd, long long size)
{
	auto_free char *data = mem_alloc(BLOCK);

	while (size > 0) {
		ssize_t got = read(fd, data, size < BLOCK ? (size_t)size : BLOCK);

		if (got < 0)
			return err_errno(packer->err, "read an output file");
		if (got == 0)
			return err_set(packer->err, ERR_INTERNAL, "output.changed",
				"an output file shrank");
		if (put_data(packer, data, (size_t)got) < 0)
			return -1;
		size -= got;
	}
	return 0;
}

static int put_entry(
	struct packer *packer, const struct outpack_tree *tree, const struct outpack_entry *entry)
{
	auto_free char *path = mem_printf("output/%s", entry->path);
	mode_t mode = entry->st.st_mode & (S_IFMT | 0755);
	auto_fd int fd = -1;

	if (S_ISDIR(mode))
		return put_header(packer, path, mode | 0700, 0, entry->st.st_mtime);
	fd = outpack_tree_open(tree, entry, packer->err);
	if (fd < 0 ||
		put_header(packer, path, mode | 0600, entry->st.st_size, entry->st.st_mtime) < 0)
		return -1;
	return put_content(packer, fd, entry->st.st_size);
}

/* JSON is UTF-8 and names are bytes: what is not printable ASCII becomes \xNN. */
static char *printable(const char *name)
{
	char *text = mem_alloc(strlen(name) * 4 + 1), *out = text;

	for (; *name; name++) {
		unsigned char byte = (unsigned char)*name;

		if (byte >= ' ' && byte < 0x7f && byte != '\\')
			*out++ = *name;
		else
			out += snprintf(out, 5, "\\x%02x", byte);
	}
	return text;
}

static json_t *list_skipped(const struct outpack_tree *tree)
{
	json_t *list = json_array();

	for (size_t i = 0; i < tree->count && json_array_size(list) < MAX_NAMED; i++) {
		auto_free char *path = printable(tree->entries[i].path);

		if (tree->entries[i].skip)
			json_array_append_new(list, json_pack("{s:s,s:s}", "path", path, "reason",
							    tree->entries[i].skip));
	}
	return list;
}

static int put_result(
	struct packer *packer, const struct outpack_conf *conf, const struct outpack_tree *tree)
{
	json_t *hits = json_array();
	auto_json json_t *result = json_pack("{s:i,s:i,s:o,s:o,s:I}", "returncode",
		conf->returncode, "signal", conf->signal, "limits_hit", hits, "skipped",
		list_skipped(tree), "skipped_count", (json_int_t)tree->skipped);
	auto_free char *text = NULL;
	size_t len;

	for (const char *const *hit = conf->limits_hit; hit && *hit; hit++)
		json_array_append_new(hits, json_string(*hit));
	if (jcs_encode(result, &text, &len, packer->err) < 0)
		return -1;
	return put_text(packer, "result.json", text, len);
}

static int pack_all(struct packer *packer, const struct outpack_conf *conf,
	const struct outpack_tree *tree, struct outpack_result *result)
{
	if (put_result(packer, conf, tree) < 0 ||
		put_text(packer, "stdout", conf->stdout_data, conf->stdout_len) < 0 ||
		put_text(packer, "stderr", conf->stderr_data, conf->stderr_len) < 0 ||
		put_header(packer, "output", S_IFDIR | 0755, 0, 0) < 0)
		return -1;
	for (size_t i = 0; i < tree->count; i++) {
		const struct outpack_entry *entry = &tree->entries[i];

		if (entry->skip)
			continue;
		if (put_entry(packer, tree, entry) < 0)
			return -1;
		result->files++;
		result->bytes += S_ISREG(entry->st.st_mode) ? entry->st.st_size : 0;
	}
	result->skipped = tree->skipped;
	return archive_write_close(packer->archive) < ARCHIVE_WARN ? failed(packer) : 0;
}

static int open_archive(struct packer *packer)
{
	packer->archive = archive_write_new();
	if (archive_write_set_format_pax_restricted(packer->archive) != ARCHIVE_OK ||
		archive_write_set_bytes_per_block(packer->archive, BLOCK) != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(packer->archive, 1) != ARCHIVE_OK ||
		archive_write_open(packer->archive, packer, NULL, on_write, NULL) != ARCHIVE_OK)
		return failed(packer);
	return 0;
}

int outpack_write(const struct outpack_conf *conf, outpack_sink *sink, void *arg,
	struct outpack_result *ret_result, struct err *err)
{
	struct packer packer = { .sink = sink, .arg = arg, .err = err };
	struct outpack_result result = { 0 };
	struct outpack_tree tree;
	int rc;

	if (outpack_tree_read(conf->output_dir, conf->max_files, conf->max_bytes, &tree, err) < 0)
		return -1;
	rc = open_archive(&packer) < 0 ? -1 : pack_all(&packer, conf, &tree, &result);
	if (rc < 0) /* its writer would flush into a sink that refused */
		archive_write_fail(packer.archive);
	archive_write_free(packer.archive);
	outpack_tree_release(&tree);
	if (rc == 0 && ret_result)
		*ret_result = result;
	return rc;
}
