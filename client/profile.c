/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing the files of a profile, and refusing those that others could read. */
#include "client/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/files.h"
#include "client/trust_file.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"

#define SMALL_FILE (256u * 1024u)

char *profile_root(void)
{
	const char *base = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");

	if (base && base[0] == '/')
		return mem_printf("%s/strongroom", base);
	return mem_printf("%s/.config/strongroom", home ? home : "");
}

static int name_check(const char *name, struct err *err)
{
	size_t len =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	if (len == 0 || len > 64 || name[len])
		return err_set(err, ERR_INVALID, "profile.name", "'%s' is no profile name", name);
	return 0;
}

static int check_private(const char *path, bool directory, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INTERNAL,
			"profile.missing", "no '%s'", path);
	if (directory ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "profile.permissions", "'%s' is not a plain %s",
			path, directory ? "folder" : "file");
	if (st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(err, ERR_FORBIDDEN, "profile.permissions",
			"'%s' belongs to uid %u with mode %03o", path, st.st_uid,
			st.st_mode & 0777);
	return 0;
}

/* The text of a private file; wiped and freed by the caller. */
static int read_private(
	const char *dir, const char *name, char **ret_text, size_t *ret_len, struct err *err)
{
	auto_free char *path = mem_printf("%s/%s", dir, name);
	struct buf text = BUF_INIT(SMALL_FILE);

	if (check_private(path, false, err) < 0 || buf_read_file(&text, path, err) < 0)
		return -1;
	*ret_len = text.len;
	*ret_text = text.data ? (char *)text.data : mem_strdup("");
	return 0;
}

static int read_private_json(const char *dir, const char *name, json_t **ret_json, struct err *err)
{
	char *text = NULL;
	size_t len = 0;

	if (read_private(dir, name, &text, &len, err) < 0)
		return -1;
	*ret_json = json_parse(text, len, err);
	mem_wipe_free(text, len);
	return *ret_json ? 0 : err_wrap(err, "'%s/%s'", dir, name);
}

static char *without_space(char *text)
{
	text[strcspn(text, " \t\r\n")] = '\0';
	return text;
}

int profile_key_id(const char *api_key, char **ret_id, struct err *err)
{
	const char *end = strncmp(api_key, "sr_", 3) == 0 ? strchr(api_key + 3, '_') : NULL;
	auto_free char *id =
		end ? mem_printf("key_%.*s", (int)(end - api_key - 3), api_key + 3) : NULL;

	if (!id || !id_is(id, "key") || strlen(end + 1) != 43)
		return err_set(err, ERR_INVALID, "profile.api_key",
			"the file does not hold an API key (sr_<id>_<secret>)");
	*ret_id = take_ptr(id);
	return 0;
}

static int load_server(struct profile *profile, struct err *err)
{
	auto_json json_t *doc = NULL;
	size_t len = 0;

	if (read_private_json(profile->dir, "profile.json", &doc, err) < 0 ||
		read_private(profile->dir, "credentials", &profile->secret, &len, err) < 0)
		return -1;
	without_space(profile->secret);
	if (!json_text(doc, "url"))
		return err_set(err, ERR_INVALID, "profile.invalid", "profile '%s' has no url",
			profile->name);
	profile->url = mem_strdup(json_text(doc, "url"));
	return profile_key_id(profile->secret, &profile->key_id, err);
}

static int load_trust(struct profile *profile, struct err *err)
{
	auto_free char *path = mem_printf("%s/trust.json", profile->dir);
	struct buf text = BUF_INIT(SMALL_FILE);

	if (access(path, F_OK) < 0)
		return 0;
	if (check_private(path, false, err) < 0 || buf_read_file(&text, path, err) < 0)
		return -1;
	digest_text(text.data, text.len, profile->trust_digest);
	profile->trust = json_parse((const char *)text.data, text.len, err);
	buf_release(&text);
	return profile->trust ? 0 : err_wrap(err, "'%s'", path);
}

static int load_files(struct profile *profile, struct err *err)
{
	auto_free char *ca = mem_printf("%s/ca.pem", profile->dir);

	if (check_private(profile->dir, true, err) < 0 || load_server(profile, err) < 0 ||
		read_private_json(profile->dir, "storage.jwk", &profile->storage, err) < 0 ||
		load_trust(profile, err) < 0)
		return -1;
	if (access(ca, F_OK) == 0)
		profile->ca_file = take_ptr(ca);
	return 0;
}

int profile_folder(const char *name, char **ret_dir, struct err *err)
{
	auto_free char *root = profile_root();

	if (name_check(name, err) < 0)
		return -1;
	*ret_dir = mem_printf("%s/profiles/%s", root, name);
	return 0;
}

int profile_load(const char *name, struct profile *ret_profile, struct err *err)
{
	struct profile profile = { .name = mem_strdup(name) };

	if (profile_folder(name, &profile.dir, err) < 0 || load_files(&profile, err) < 0) {
		profile_release(&profile);
		return -1;
	}
	*ret_profile = profile;
	return 0;
}

void profile_release(struct profile *profile)
{
	if (profile->secret)
		mem_wipe_free(profile->secret, strlen(profile->secret));
	free(profile->name);
	free(profile->dir);
	free(profile->url);
	free(profile->key_id);
	free(profile->ca_file);
	json_decref(profile->storage);
	json_decref(profile->trust);
	*profile = (struct profile) { 0 };
}

static int write_private(
	const char *dir, const char *name, const void *data, size_t len, struct err *err)
{
	auto_free char *path = mem_printf("%s/%s", dir, name);

	return buf_write_file(path, data, len, 0600, err);
}

static int write_json(const char *dir, const char *name, const json_t *doc, struct err *err)
{
	char *text = json_dumps(doc, JSON_INDENT(1) | JSON_SORT_KEYS);
	int result = write_private(dir, name, text, strlen(text), err);

	mem_wipe_free(text, strlen(text));
	return result;
}

static int write_url(const char *dir, const char *url, struct err *err)
{
	auto_free char *copy = mem_strdup(url);
	auto_json json_t *doc = NULL;

	while (*copy && copy[strlen(copy) - 1] == '/')
		copy[strlen(copy) - 1] = '\0';
	if (strncmp(copy, "https://", 8) != 0 || strchr(copy, '@') || strlen(copy) > 200)
		return err_set(err, ERR_INVALID, "profile.url", "'%s' is no https:// address", url);
	doc = json_pack("{s:i,s:s}", "v", 1, "url", copy);
	return write_json(dir, "profile.json", doc, err);
}

static int copy_into(const char *dir, const char *name, const char *from, struct err *err)
{
	auto_buf text = BUF_INIT(SMALL_FILE);

	if (buf_read_file(&text, from, err) < 0)
		return -1;
	return write_private(dir, name, text.data, text.len, err);
}

static int write_trust(const char *dir, const char *from, struct err *err)
{
	auto_json json_t *trust = NULL;

	if (trust_file_read(from, &trust, err) < 0)
		return -1;
	return copy_into(dir, "trust.json", from, err);
}

static int write_storage_key(const char *dir, struct err *err)
{
	auto_free char *path = mem_printf("%s/storage.jwk", dir);
	auto_json json_t *jwk = NULL;

	if (access(path, F_OK) == 0)
		return 0;
	jwk = jose_key_new("enc");
	return write_json(dir, "storage.jwk", jwk, err);
}

int profile_write(const char *name, const struct profile_change *change, struct err *err)
{
	auto_free char *dir = NULL, *key_id = NULL;

	if (change->api_key && profile_key_id(change->api_key, &key_id, err) < 0)
		return -1;
	if (profile_folder(name, &dir, err) < 0 || files_make_dirs(dir, 0700, err) < 0 ||
		check_private(dir, true, err) < 0)
		return -1;
	if ((change->url && write_url(dir, change->url, err) < 0) ||
		(change->ca_file && copy_into(dir, "ca.pem", change->ca_file, err) < 0) ||
		(change->trust_file && write_trust(dir, change->trust_file, err) < 0) ||
		(change->ca_text && write_private(dir, "ca.pem", change->ca_text,
					    strlen(change->ca_text), err) < 0) ||
		(change->api_key && write_private(dir, "credentials", change->api_key,
					    strlen(change->api_key), err) < 0))
		return -1;
	return write_storage_key(dir, err);
}

int profile_read_json(
	const struct profile *profile, const char *file, json_t **ret_json, struct err *err)
{
	return read_private_json(profile->dir, file, ret_json, err);
}

int profile_write_json(
	const struct profile *profile, const char *file, const json_t *json, struct err *err)
{
	return write_json(profile->dir, file, json, err);
}

int profile_lock(const struct profile *profile, struct err *err)
{
	auto_fd int fd = open(profile->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return err_errno(err, "lock '%s'", profile->dir);
	return take_fd(fd);
}

const json_t *profile_template(
	const struct profile *profile, const char *template_id, struct err *err)
{
	if (!profile->trust) {
		err_set(err, ERR_INVALID, "profile.no_trust", "profile '%s' has no trust file",
			profile->name);
		return NULL;
	}
	return trust_file_template(profile->trust, template_id, err);
}
