/* SPDX-License-Identifier: Apache-2.0 */
/* The drivers by their names, what is the same for all of them, and who holds a sandbox. */
#include "services/provisioner/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/digest.h"
#include "lib/mem.h"
#include "services/provisioner/store.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_user.h"

const struct driver *const drivers[] = { &driver_qemu, &driver_process, &driver_libvirt,
	&driver_controller, &driver_tofu, NULL };

const struct driver *driver_find(const char *name)
{
	for (size_t i = 0; drivers[i]; i++) {
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	}
	return NULL;
}

bool driver_is_slow(const char *name)
{
	const struct driver *driver = driver_find(name);

	return driver && driver->pursue;
}

/* --- what is the same for all of them --- */

static void place_release(struct driver_place *place)
{
	free(place->all);
	free(place->folder);
	free(place->secret);
	free(place->console);
}
#define auto_place __attribute__((cleanup(place_release))) struct driver_place

static struct driver_place place_of(
	const struct driver *driver, const struct provisioner_conf *conf, const char *id)
{
	struct driver_place place = { .conf = conf, .sandbox_id = id };

	place.all = driver->folder ? mem_printf("%s/%s", conf->sandboxes_dir, driver->folder)
				   : mem_strdup(conf->sandboxes_dir);
	place.folder = mem_printf("%s/%s", place.all, id);
	place.secret = mem_printf("%s/%s", place.folder, driver->secret);
	place.console = mem_printf("%s/%s", place.folder, driver->console);
	return place;
}

int driver_start(const struct driver *driver, const struct provisioner_conf *conf,
	const struct driver_spec *spec, struct err *err)
{
	auto_place place = place_of(driver, conf, spec->sandbox_id);

	if (driver->stop(&place, err) < 0 || vm_files_folder(conf->sandboxes_dir, 0711, err) < 0 ||
		vm_files_folder(place.all, 0711, err) < 0)
		return -1;
	if (!driver->is_elsewhere && vm_user_of(conf, place.sandbox_id, &place.uid, err) < 0)
		return -1;
	return driver->start(&place, spec, err);
}

int driver_inspect(const struct driver *driver, const struct provisioner_conf *conf,
	const char *sandbox_id, const char **ret_gone, struct err *err)
{
	auto_place place = place_of(driver, conf, sandbox_id);

	return driver->inspect(&place, ret_gone, err);
}

int driver_stop(const struct driver *driver, const struct provisioner_conf *conf,
	const char *sandbox_id, struct err *err)
{
	auto_place place = place_of(driver, conf, sandbox_id);

	return driver->stop(&place, err);
}

static int pursue_slowly(const struct driver *driver, struct driver_place *place,
	struct worker *worker, const struct sandbox *sandbox, enum driver_goal goal,
	struct driver_state *ret_state, struct err *err)
{
	int r;

	if (vm_user_of(place->conf, place->sandbox_id, &place->uid, err) < 0)
		return -1;
	r = driver->pursue(place, worker, sandbox, goal, ret_state, err);
	return r == 0 && goal == DRIVER_GONE
		       ? driver_destroy(driver, place->conf, place->sandbox_id, err)
		       : r;
}

static int look(const struct driver *driver, const struct provisioner_conf *conf,
	const char *sandbox_id, struct driver_state *ret_state, struct err *err)
{
	const char *gone;

	if (driver_inspect(driver, conf, sandbox_id, &gone, err) < 0)
		return -1;
	snprintf(ret_state->code, sizeof(ret_state->code), "%s", gone ? gone : "");
	return 0;
}

int driver_pursue(const struct driver *driver, struct worker *worker, const struct sandbox *sandbox,
	enum driver_goal goal, struct driver_state *ret_state, struct err *err)
{
	const struct provisioner_conf *conf = worker->program;
	auto_place place = place_of(driver, conf, sandbox->id);

	*ret_state = (struct driver_state) { .code = "" };
	if (driver->pursue)
		return pursue_slowly(driver, &place, worker, sandbox, goal, ret_state, err);
	if (goal == DRIVER_UP)
		return look(driver, conf, sandbox->id, ret_state, err);
	if (goal == DRIVER_GONE)
		return driver_destroy(driver, conf, sandbox->id, err);
	return goal == DRIVER_DOWN ? driver_stop(driver, conf, sandbox->id, err) : 0;
}

int driver_settled(const struct driver *driver, const struct provisioner_conf *conf,
	const char *sandbox_id, struct err *err)
{
	auto_place place = place_of(driver, conf, sandbox_id);

	if (unlink(place.secret) < 0 && errno != ENOENT)
		return err_errno(err, "remove the enrolment secret");
	return 0;
}

int driver_destroy(const struct driver *driver, const struct provisioner_conf *conf,
	const char *sandbox_id, struct err *err)
{
	auto_place place = place_of(driver, conf, sandbox_id);

	if (driver->stop(&place, err) < 0 || (driver->forget && driver->forget(&place, err) < 0) ||
		vm_files_remove(place.folder, err) < 0)
		return -1;
	/* last, so that the next sandbox of this uid finds nothing of this one */
	return driver->is_elsewhere ? 0 : vm_user_give_back(conf, sandbox_id, err);
}

int driver_list(const struct driver *driver, const struct provisioner_conf *conf,
	driver_on_id *on_id, void *arg, struct err *err)
{
	auto_place all = place_of(driver, conf, "");

	if (vm_files_list(all.all, on_id, arg, err) < 0)
		return -1;
	return driver->list ? driver->list(&all, on_id, arg, err) : 0;
}

char *driver_console_file(
	const struct driver *driver, const struct provisioner_conf *conf, const char *sandbox_id)
{
	auto_place place = place_of(driver, conf, sandbox_id);

	return take_ptr(place.console);
}

/* --- who holds a sandbox --- */

/* Where in the lock file a sandbox's byte is: 60 bits of its id's digest. So there is one file for
 * all, and nothing to remove. */
static off_t byte_of(const char *sandbox_id)
{
	char digest[DIGEST_TEXT_SIZE], part[16];

	digest_text(sandbox_id, strlen(sandbox_id), digest);
	memcpy(part, digest + strlen("sha256:"), 15);
	part[15] = '\0';
	return (off_t)strtoll(part, NULL, 16);
}

int driver_hold(
	const struct provisioner_conf *conf, const char *sandbox_id, int *ret_fd, struct err *err)
{
	auto_free char *path = mem_printf("%s/.lock", conf->sandboxes_dir);
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte_of(sandbox_id), .l_len = 1
	};
	auto_fd int fd = -1;

	if (mkdir(conf->sandboxes_dir, 0711) < 0 && errno != EEXIST)
		return err_errno(err, "make '%s'", conf->sandboxes_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EAGAIN ? err_set(err, ERR_UNAVAILABLE, "sandbox.held",
						 "another step of '%s' is under way", sandbox_id)
				       : err_errno(err, "lock '%s'", path);
	*ret_fd = take_fd(fd);
	return 0;
}
