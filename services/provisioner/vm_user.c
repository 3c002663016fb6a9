/* SPDX-License-Identifier: Apache-2.0 */
/* A link is made whole or not at all, and only once: that is the lock. */
#include "services/provisioner/vm_user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/id.h"
#include "lib/mem.h"

#define FIRST_UID 1000 /* those below are the system's */
#define NOBODY 65534   /* and 65535, which 16 bits take for -1 */
#define LAST_UID INT32_MAX

int vm_user_check(long first, struct err *err)
{
	long end = first + 3 * (long)VM_USERS;

	if (first < FIRST_UID || end > LAST_UID || (first <= NOBODY + 1 && end > NOBODY))
		return err_set(err, ERR_INVALID, "sandbox.bad_uids",
			"sandbox_uid: the uids from %ld to %ld are not all free for sandboxes",
			first, end - 1);
	for (long id = first; id < end; id++) {
		if (getpwuid((uid_t)id) || getgrgid((gid_t)id))
			return err_set(err, ERR_INVALID, "sandbox.bad_uids",
				"sandbox_uid: %ld is the id of a user or group of this host", id);
	}
	return 0;
}

static char *link_of(const char *folder, uid_t uid)
{
	return mem_printf("%s/%u", folder, uid);
}

static bool read_owner(const char *path, char ret_text[ID_SIZE + 1])
{
	ssize_t len = readlink(path, ret_text, ID_SIZE);

	if (len < 0)
		return false;
	ret_text[len] = '\0';
	return true;
}

static bool is_owner(const char *path, const char *sandbox_id)
{
	char text[ID_SIZE + 1];

	return read_owner(path, text) && strcmp(text, sandbox_id) == 0;
}

/* The sandbox's link, or NULL. */
static char *find(const char *folder, uid_t first, const char *sandbox_id, uid_t *ret_uid)
{
	for (uid_t uid = first; uid < first + VM_USERS; uid++) {
		auto_free char *path = link_of(folder, uid);

		if (!is_owner(path, sandbox_id))
			continue;
		*ret_uid = uid;
		return take_ptr(path);
	}
	return NULL;
}

int vm_user_take(
	const char *folder, uid_t first, const char *sandbox_id, uid_t *ret_uid, struct err *err)
{
	auto_free char *own = NULL;

	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make '%s'", folder);
	own = find(folder, first, sandbox_id, ret_uid);
	for (uid_t uid = first; !own && uid < first + VM_USERS; uid++) {
		auto_free char *path = link_of(folder, uid);

		if (symlink(sandbox_id, path) == 0) {
			*ret_uid = uid;
			own = take_ptr(path);
		} else if (errno != EEXIST) {
			return err_errno(err, "make '%s'", path);
		}
	}
	return own ? 0
		   : err_set(err, ERR_LIMITED, "sandbox.no_user",
			     "this host has %u sandboxes, as many as users for them", VM_USERS);
}

int vm_user_release(const char *folder, uid_t first, const char *sandbox_id, struct err *err)
{
	uid_t uid;
	auto_free char *own = find(folder, first, sandbox_id, &uid);

	if (own && unlink(own) < 0 && errno != ENOENT)
		return err_errno(err, "remove '%s'", own);
	return 0;
}

bool vm_is_root(void)
{
	return geteuid() == 0;
}

int vm_user_of(const struct provisioner_conf *conf, const char *sandbox_id, uid_t *ret_uid,
	struct err *err)
{
	auto_free char *folder = mem_printf("%s/.users", conf->sandboxes_dir);

	*ret_uid = geteuid();
	if (!vm_is_root())
		return 0;
	return vm_user_take(folder, (uid_t)conf->sandbox_uid, sandbox_id, ret_uid, err);
}

int vm_user_give_back(const struct provisioner_conf *conf, const char *sandbox_id, struct err *err)
{
	auto_free char *folder = mem_printf("%s/.users", conf->sandboxes_dir);

	return vm_is_root() ? vm_user_release(folder, (uid_t)conf->sandbox_uid, sandbox_id, err)
			    : 0;
}

int vm_user_list(const struct provisioner_conf *conf,
	int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
	struct err *err)
{
	auto_free char *folder = mem_printf("%s/.users", conf->sandboxes_dir);
	uid_t first = (uid_t)conf->sandbox_uid;

	for (uid_t uid = first; vm_is_root() && uid < first + VM_USERS; uid++) {
		auto_free char *path = link_of(folder, uid);
		char id[ID_SIZE + 1];

		if (read_owner(path, id) && on_id(arg, id, err) < 0)
			return -1;
	}
	return 0;
}
