/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the folder; what is not a plain file is refused rather than left out. */
#include "client/config_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/mem.h"
#include "proto/app_config.h"

#define MAX_DEPTH 16

struct walk {
	json_t *files;
	unsigned depth;
};

static int add_folder(struct walk *walk, const char *folder, const char *place, struct err *err);

static int add_file(struct walk *walk, const char *path, const char *place, struct err *err)
{
	auto_buf text = BUF_INIT(APP_CONFIG_MAX_FILE + 1);
	auto_free char *encoded = NULL;

	if (json_object_size(walk->files) >= APP_CONFIG_MAX_FILES)
		return err_set(err, ERR_INVALID, "app_config.too_large",
			"there are more than %u files", APP_CONFIG_MAX_FILES);
	if (buf_read_file(&text, path, err) < 0)
		return err_wrap(err, "%s", path);
	encoded = codec_b64_text(text.data, text.len);
	if (json_object_set_new(walk->files, place, json_pack("{s:s}", "contents", encoded)) < 0)
		return err_set(err, ERR_INVALID, "app_config.path", "'%s' is not UTF-8", path);
	return 0;
}

static int add_entry(
	struct walk *walk, const char *folder, const char *place, const char *name, struct err *err)
{
	auto_free char *path = mem_printf("%s/%s", folder, name);
	auto_free char *below = mem_printf("%s/%s", place, name);
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_errno(err, "look at %s", path);
	if (S_ISREG(st.st_mode))
		return add_file(walk, path, below, err);
	if (S_ISDIR(st.st_mode))
		return add_folder(walk, path, below, err);
	return err_set(err, ERR_INVALID, "files.kind", "%s is neither file nor folder", path);
}

static int add_folder(struct walk *walk, const char *folder, const char *place, struct err *err)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return err_errno(err, "open %s", folder);
	if (++walk->depth > MAX_DEPTH)
		result = err_set(err, ERR_INVALID, "app_config.path", "%s lies too deep", folder);
	while (result == 0 && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = add_entry(walk, folder, place, entry->d_name, err);
	}
	walk->depth--;
	closedir(dir);
	return result;
}

int config_files_read(const char *folder, json_t **ret_files, struct err *err)
{
	struct walk walk = { .files = json_object() };

	if (add_folder(&walk, folder, APP_CONFIG_RW, err) < 0 ||
		app_config_check_files(walk.files, err) < 0) {
		json_decref(walk.files);
		return -1;
	}
	*ret_files = walk.files;
	return 0;
}
