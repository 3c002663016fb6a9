/* SPDX-License-Identifier: Apache-2.0 */
/* The folders of vtpm_stock.h. One copy of this service at a time makes and removes. */
#include "services/provisioner/vtpm_stock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/crash.h"
#include "lib/digest.h"
#include "lib/mem.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vtpm.h"

#define CERTIFICATE_MAX (64u << 10)
#define ISSUER_LEN 16

struct stock {
	char issuer[ISSUER_LEN + 1]; /* of its certificate's digest */
	char *all, *folder, *ready, *taken, *fresh;
};

static void stock_release(struct stock *stock)
{
	free(stock->all);
	free(stock->folder);
	free(stock->ready);
	free(stock->taken);
	free(stock->fresh);
}
#define auto_stock __attribute__((cleanup(stock_release))) struct stock

static int stock_of(const struct provisioner_conf *conf, struct stock *ret_stock, struct err *err)
{
	auto_free char *path = vtpm_issuer(conf->vtpm_setup);
	auto_buf certificate = BUF_INIT(CERTIFICATE_MAX);
	char digest[DIGEST_TEXT_SIZE];

	if (!path)
		return err_set(err, ERR_INVALID, "sandbox.vtpm_ca", "'%s' names no issuercert",
			conf->vtpm_setup);
	if (buf_read_file(&certificate, path, err) < 0)
		return -1;
	digest_text(certificate.data, certificate.len, digest);
	memcpy(ret_stock->issuer, digest + strlen("sha256:"), ISSUER_LEN);
	ret_stock->issuer[ISSUER_LEN] = '\0';
	ret_stock->all = mem_printf("%s/.vtpms", conf->sandboxes_dir);
	ret_stock->folder = mem_printf("%s/%s", ret_stock->all, ret_stock->issuer);
	ret_stock->ready = mem_printf("%s/ready", ret_stock->folder);
	ret_stock->taken = mem_printf("%s/taken", ret_stock->folder);
	ret_stock->fresh = mem_printf("%s/new", ret_stock->folder);
	return 0;
}

/* --- making --- */

static int make_folders(
	const struct provisioner_conf *conf, const struct stock *stock, struct err *err)
{
	const char *const own[] = { stock->all, stock->folder, stock->ready, stock->taken };

	if (vm_files_folder(conf->sandboxes_dir, 0711, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		if (vm_files_folder(own[i], 0700, err) < 0)
			return -1;
	}
	return 0;
}

/* What was issued by another would not be believed: nobody looks there any more. */
static int remove_others(const struct stock *stock, struct err *err)
{
	DIR *folder = opendir(stock->all);
	const struct dirent *entry;
	int r = 0;

	if (!folder)
		return err_errno(err, "open '%s'", stock->all);
	while (r == 0 && (entry = readdir(folder))) {
		auto_free char *path = mem_printf("%s/%s", stock->all, entry->d_name);

		if (*entry->d_name != '.' && strcmp(entry->d_name, stock->issuer) != 0)
			r = vm_files_remove(path, err);
	}
	closedir(folder);
	return r;
}

/* It is to be there after the host's power was gone, or not at all. */
static int settle(const char *state, struct err *err)
{
	auto_free char *file = mem_printf("%s/tpm2-00.permall", state);
	auto_fd int fd = open(file, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? err_errno(err, "write '%s'", file) : 0;
}

static int make_one(const struct provisioner_conf *conf, const struct stock *stock, struct err *err)
{
	auto_free char *place = NULL;
	char id[ID_SIZE];
	const struct vtpm vtpm = { .conf = conf, .sandbox_id = id, .folder = stock->folder };

	id_new("sbx", id);
	place = mem_printf("%s/%s", stock->ready, id);
	if (vm_files_remove(stock->fresh, err) < 0 ||
		vm_files_folder(stock->fresh, 0700, err) < 0 ||
		vtpm_manufacture(&vtpm, stock->fresh, true, err) < 0 ||
		settle(stock->fresh, err) < 0)
		return -1;
	crash_point("vtpm", "made");
	return rename(stock->fresh, place) < 0 ? err_errno(err, "rename '%s'", stock->fresh) : 0;
}

static int count_one(void *arg, const char *sandbox_id, struct err *err)
{
	long *count = arg;

	(void)sandbox_id;
	(void)err;
	++*count;
	return 0;
}

int vtpm_stock_run(struct worker *worker, struct err *err)
{
	const struct provisioner_conf *conf = worker->program;
	auto_stock stock = { .all = NULL };
	auto_fd int hold = -1;
	long count = 0;

	if (conf->vtpm_stock == 0 || driver_hold(conf, ".vtpms", &hold, NULL) < 0)
		return 0;
	if (stock_of(conf, &stock, err) < 0 || make_folders(conf, &stock, err) < 0 ||
		remove_others(&stock, err) < 0 ||
		vm_files_list(stock.ready, count_one, &count, err) < 0)
		return -1;
	return count < conf->vtpm_stock ? make_one(conf, &stock, err) : 0;
}

/* --- taking --- */

struct taking {
	const struct stock *stock;
	char *id;
};

/* Somebody else may have been quicker. */
static int take_one(void *arg, const char *sandbox_id, struct err *err)
{
	const struct taking *taking = arg;
	auto_free char *from = mem_printf("%s/%s", taking->stock->ready, sandbox_id);
	auto_free char *to = mem_printf("%s/%s", taking->stock->taken, sandbox_id);

	(void)err;
	if (*taking->id == '\0' && rename(from, to) == 0)
		snprintf(taking->id, ID_SIZE, "%s", sandbox_id);
	return 0;
}

bool vtpm_stock_take(const struct provisioner_conf *conf, char ret_id[ID_SIZE])
{
	auto_stock stock = { .all = NULL };
	struct taking taking = { &stock, ret_id };

	*ret_id = '\0';
	if (conf->vtpm_stock > 0 && stock_of(conf, &stock, NULL) == 0)
		(void)vm_files_list(stock.ready, take_one, &taking, NULL);
	if (*ret_id)
		crash_point("vtpm", "taken");
	return *ret_id != '\0';
}

bool vtpm_stock_move(const struct provisioner_conf *conf, const char *sandbox_id, const char *state)
{
	auto_stock stock = { .all = NULL };
	auto_free char *place = NULL;

	if (stock_of(conf, &stock, NULL) < 0)
		return false;
	place = mem_printf("%s/%s", stock.taken, sandbox_id);
	if (rename(place, state) < 0)
		return false;
	crash_point("vtpm", "moved");
	return true;
}

int vtpm_stock_drop(const struct provisioner_conf *conf, const char *sandbox_id, struct err *err)
{
	auto_stock stock = { .all = NULL };
	auto_free char *place = NULL;

	if (stock_of(conf, &stock, NULL) < 0) /* nor can any be taken */
		return 0;
	place = mem_printf("%s/%s", stock.taken, sandbox_id);
	return vm_files_remove(place, err);
}

int vtpm_stock_list(const struct provisioner_conf *conf,
	int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
	struct err *err)
{
	auto_stock stock = { .all = NULL };

	return stock_of(conf, &stock, NULL) < 0 ? 0 : vm_files_list(stock.taken, on_id, arg, err);
}
