/* SPDX-License-Identifier: Apache-2.0 */
/* A flat folder of small files, hashed as it is copied. */
#include "services/provisioner/tofu_module.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/provisioner/tofu_files.h"
#include "services/provisioner/vm_files.h"

#define FILE_MAX (1u << 20)
#define SUMS_MAX (16u * 1024u)
#define MOST_FILES 64

struct section {
	const char *module;
	json_t *resources;
};

static const struct json_field fields[] = {
	{ "module", JSON_FIELD_DIGEST, offsetof(struct section, module), true, 0 },
	{ "resources", JSON_FIELD_ARRAY, offsetof(struct section, resources), true, 64 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int bad(struct err *err, const char *path, const char *why)
{
	return err_set(err, ERR_INTERNAL, "tofu.bad_settings", "'%.150s' %s", path, why);
}

/* Ids of templates come out of our database, and become a path here. */
static bool is_name(const char *template_id)
{
	return *template_id &&
	       strspn(template_id, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(template_id);
}

static int read_section(struct arena *arena, const struct driver_place *place,
	const char *template_id, struct section *ret_section, json_t **ret_document,
	struct err *err)
{
	auto_free char *path =
		mem_printf("%s/%s/tofu.json", place->conf->templates_dir, template_id);
	auto_buf text = BUF_INIT(SUMS_MAX);

	if (!is_name(template_id))
		return bad(err, template_id, "is no template of this driver");
	if (buf_read_file(&text, path, NULL) < 0)
		return bad(err, path, "cannot be read");
	*ret_document = json_parse((const char *)text.data, text.len, err);
	if (!*ret_document)
		return err_wrap(err, "%s", path);
	return json_decode(arena, *ret_document, fields, ret_section, err);
}

int tofu_files_types(const struct driver_place *place, const char *template_id, json_t **ret_types,
	struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *document = NULL;
	struct section section;

	if (read_section(arena, place, template_id, &section, &document, err) < 0)
		return -1;
	*ret_types = json_incref(section.resources);
	return 0;
}

/* --- the copy --- */

static int is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* One line of sha256sum. */
static int copy_file(const struct driver_place *place, const char *from, const char *name,
	struct buf *sums, struct err *err)
{
	auto_free char *source = mem_printf("%s/%s", from, name);
	auto_free char *target = mem_printf("%s/working/.module/%s", place->folder, name);
	auto_buf text = BUF_INIT(FILE_MAX);
	unsigned char digest[DIGEST_SIZE];
	char hex[CODEC_HEX_SIZE(DIGEST_SIZE)];

	if (buf_read_file(&text, source, NULL) < 0)
		return bad(err, source, "is no small file");
	digest_sha256(text.data, text.len, digest);
	codec_hex(digest, sizeof(digest), hex);
	if (buf_printf(sums, err, "%s  %s\n", hex, name) < 0)
		return -1;
	return vm_files_keep(target, text.data, text.len, place->uid, err);
}

static int copy_files(
	const struct driver_place *place, const char *from, struct buf *sums, struct err *err)
{
	struct dirent **entries = NULL;
	int n = scandir(from, &entries, is_file, by_bytes), r = 0;

	if (n <= 0 || n > MOST_FILES)
		r = bad(err, from, "has no files, or more than 64");
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = copy_file(place, from, entries[i]->d_name, sums, err);
		free(entries[i]);
	}
	free(entries);
	return r;
}

static int copy_pinned(const struct driver_place *place, const char *template_id,
	const char *pinned, struct err *err)
{
	auto_free char *from = mem_printf("%s/%s/module", place->conf->templates_dir, template_id);
	auto_free char *fresh = mem_printf("%s/working/.module", place->folder);
	auto_buf sums = BUF_INIT(SUMS_MAX);
	char digest[DIGEST_TEXT_SIZE];

	if (vm_files_remove(fresh, err) < 0 || vm_files_folder(fresh, 0700, err) < 0 ||
		copy_files(place, from, &sums, err) < 0)
		return -1;
	digest_text(sums.data, sums.len, digest);
	if (strcmp(digest, pinned) == 0)
		return vm_files_give(fresh, place->uid, err);
	return err_set(err, ERR_INTERNAL, "tofu.module_changed",
		"the module of '%s' is %s, and its tofu.json pins another", template_id, digest);
}

int tofu_module_copy(const struct driver_place *place, const char *template_id, struct err *err)
{
	auto_free char *fresh = mem_printf("%s/working/.module", place->folder);
	auto_free char *module = mem_printf("%s/working/module", place->folder);
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *document = NULL;
	struct section section;
	struct stat info;

	if (lstat(module, &info) == 0)
		return 0;
	if (read_section(arena, place, template_id, &section, &document, err) < 0 ||
		copy_pinned(place, template_id, section.module, err) < 0)
		return -1;
	return rename(fresh, module) < 0 ? err_errno(err, "rename '%s'", fresh) : 0;
}
