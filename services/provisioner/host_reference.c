/* SPDX-License-Identifier: Apache-2.0 */
/* A few sizes at a time. Predicted outside of the lock: an odd size of one tenant is nobody else's
 * wait. */
#include "services/provisioner/host_reference.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "launcher/launch.h"
#include "lib/mem.h"
#include "services/provisioner/templates.h"

#define SIZES 8 /* of sandboxes, as templates have them */
#define FILES 3

/* What a file was when it was read: another one has another inode or another time. */
struct stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

struct entry {
	bool is_used;
	struct stamp stamps[FILES];
	struct reference reference;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct entry entries[SIZES];
static unsigned next;

/* What cannot be read has a stamp of its own, and fails where it is read. */
static void stamp_files(const struct reference_files *files, struct stamp ret_stamps[FILES])
{
	const char *const paths[FILES] = { files->firmware, files->kernel, files->initramfs };
	struct stat info;

	memset(ret_stamps, 0, FILES * sizeof(*ret_stamps)); /* they are compared as bytes */
	for (size_t i = 0; i < FILES; i++) {
		if (stat(paths[i], &info) < 0)
			continue;
		ret_stamps[i].device = info.st_dev;
		ret_stamps[i].inode = info.st_ino;
		ret_stamps[i].size = info.st_size;
		ret_stamps[i].changed = info.st_ctim;
	}
}

static const struct reference *find(
	const struct reference_files *files, const struct stamp stamps[FILES])
{
	for (size_t i = 0; i < SIZES; i++) {
		const struct entry *entry = &entries[i];

		if (entry->is_used && entry->reference.memory_mib == files->memory_mib &&
			entry->reference.vcpus == files->vcpus &&
			memcmp(entry->stamps, stamps, sizeof(entry->stamps)) == 0)
			return &entry->reference;
	}
	return NULL;
}

static bool look_up(const struct reference_files *files, const struct stamp stamps[FILES],
	struct reference *ret_reference)
{
	const struct reference *known;

	pthread_mutex_lock(&mutex);
	known = find(files, stamps);
	if (known)
		*ret_reference = *known;
	pthread_mutex_unlock(&mutex);
	return known;
}

static void keep(const struct reference_files *files, const struct entry *fresh)
{
	pthread_mutex_lock(&mutex);
	if (!find(files, fresh->stamps)) {
		entries[next] = *fresh;
		next = (next + 1) % SIZES;
	}
	pthread_mutex_unlock(&mutex);
}

int host_reference(const struct provisioner_conf *conf, const json_t *parameters,
	struct reference *ret_reference, struct err *err)
{
	auto_free char *kernel = mem_printf("%s/vmlinuz", conf->guest_dir);
	auto_free char *initramfs = mem_printf("%s/initramfs.img", conf->guest_dir);
	const struct reference_files files = { .firmware = conf->firmware,
		.kernel = kernel,
		.initramfs = initramfs,
		.cmdline = LAUNCH_CMDLINE,
		.memory_mib = json_integer_value(json_object_get(parameters, "memory_mib")),
		.vcpus = template_vcpus(parameters) };
	struct entry fresh = { .is_used = true };

	stamp_files(&files, fresh.stamps); /* before they are read */
	if (look_up(&files, fresh.stamps, ret_reference))
		return 0;
	if (reference_predict(&files, &fresh.reference, err) < 0)
		return -1;
	keep(&files, &fresh);
	*ret_reference = fresh.reference;
	return 0;
}
