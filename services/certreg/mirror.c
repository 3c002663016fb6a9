/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and reconciling the readable tree; every file appears whole, by rename. */
#include "services/certreg/mirror.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/certificates.h"
#include "services/certreg/store_certificates.h"

#define FILE_MAX (64 * 1024)
#define DIR_MODE 0755
#define FILE_MODE 0644
#define WALK_MS 60000
#define QUEUE_MAX 1024

/* --- one certificate --- */

/* A new folder is on the disk before anything is put into it. */
static int sync_dir(const char *path, struct err *err)
{
	auto_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && fsync(fd) == 0 ? 0 : err_errno(err, "sync the folder '%s'", path);
}

static int make_dir(const char *path, struct err *err)
{
	auto_free char *copy = mem_strdup(path);

	if (mkdir(path, DIR_MODE) < 0)
		return errno == EEXIST ? 0 : err_errno(err, "make the folder '%s'", path);
	if (chmod(path, DIR_MODE) < 0) /* whatever the umask */
		return err_errno(err, "open the folder '%s'", path);
	return sync_dir(dirname(copy), err);
}

static bool is_same(const char *path, const char *text)
{
	auto_buf have = BUF_INIT(FILE_MAX);

	return buf_read_file(&have, path, NULL) == 0 && have.len == strlen(text) &&
	       memcmp(have.data, text, have.len) == 0;
}

static int write_when_other(const char *path, const char *text, struct err *err)
{
	if (is_same(path, text))
		return 0;
	return buf_write_file(path, text, strlen(text), FILE_MODE, err);
}

static const char *hex_of(const struct certificate *certificate)
{
	return certificate->spki + strlen("sha256:");
}

static int write_files(const char *dir, const struct certificate *certificate, struct err *err)
{
	auto_free char *pem = mem_printf("%s/%s.pem", dir, hex_of(certificate));
	auto_free char *record = mem_printf("%s/%s.json", dir, hex_of(certificate));
	auto_json json_t *json = certificate_json(certificate);
	auto_free char *text = json_dumps(json, JSON_INDENT(2));
	auto_free char *line = mem_printf("%s\n", text);

	if (write_when_other(pem, certificate->pem, err) < 0)
		return -1;
	return write_when_other(record, line, err);
}

static int write_certificate(
	const struct certreg *certreg, const struct certificate *certificate, struct err *err)
{
	auto_free char *tenant = mem_printf("%s/%s", certreg->mirror_dir, certificate->tenant_name);
	auto_free char *member = mem_printf("%s/%s", tenant, certificate->member_name);

	if (make_dir(tenant, err) < 0 || make_dir(member, err) < 0)
		return -1;
	return write_files(member, certificate, err);
}

/* --- what changed --- */

struct changed {
	char tenant[ID_SIZE], id[ID_SIZE];
};

struct mirror {
	pthread_mutex_t mutex;
	struct changed queue[QUEUE_MAX];
	size_t n_queued;
	long long next_walk_ms; /* the thread's own */
};

struct mirror *mirror_new(void)
{
	struct mirror *mirror = mem_alloc(sizeof(*mirror));

	pthread_mutex_init(&mirror->mutex, NULL);
	mirror->next_walk_ms = clock_monotonic_ms() + WALK_MS; /* the start has walked */
	return mirror;
}

void mirror_free(struct mirror *mirror)
{
	if (!mirror)
		return;
	pthread_mutex_destroy(&mirror->mutex);
	free(mirror);
}

void mirror_add(const struct certreg *certreg, const struct certificate *certificate)
{
	struct mirror *mirror = certreg->mirror;

	pthread_mutex_lock(&mirror->mutex);
	if (mirror->n_queued < QUEUE_MAX) {
		struct changed *changed = &mirror->queue[mirror->n_queued++];

		snprintf(changed->tenant, ID_SIZE, "%s", certificate->tenant);
		snprintf(changed->id, ID_SIZE, "%s", certificate->id);
	}
	pthread_mutex_unlock(&mirror->mutex);
}

static size_t take_queue(struct mirror *mirror, struct changed ret_queue[QUEUE_MAX])
{
	size_t count;

	pthread_mutex_lock(&mirror->mutex);
	count = mirror->n_queued;
	memcpy(ret_queue, mirror->queue, count * sizeof(*ret_queue));
	mirror->n_queued = 0;
	pthread_mutex_unlock(&mirror->mutex);
	return count;
}

/* As the record stands now, which may be later than the change. */
static int write_changed(struct worker *worker, const struct changed *changed, struct err *err)
{
	struct arena *arena = arena_new();
	struct certificate certificate;
	int result = store_certificate(
		worker->db, changed->tenant, changed->id, arena, &certificate, err);

	if (result == 0)
		result = write_certificate(certreg_of(worker), &certificate, err);
	arena_free(arena);
	return result;
}

int mirror_follow(struct worker *worker, struct err *err)
{
	struct mirror *mirror = certreg_of(worker)->mirror;
	auto_free struct changed *queue = mem_array(QUEUE_MAX, sizeof(*queue));
	size_t count = take_queue(mirror, queue);

	if (clock_monotonic_ms() >= mirror->next_walk_ms) {
		if (mirror_reconcile(worker, err) < 0)
			return -1;
		mirror->next_walk_ms = clock_monotonic_ms() + WALK_MS;
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		if (write_changed(worker, &queue[i], err) < 0) {
			mirror->next_walk_ms = 0; /* which finds what is left */
			return err_wrap(err, "certificate not mirrored yet");
		}
	}
	return 0;
}

/* --- the whole tree --- */

struct reconciling {
	const struct certreg *certreg;
	struct db *db;
	json_t *known;	   /* relative names of the files that belong there */
	time_t started_at; /* what is younger was written beside us */
	unsigned n_removed;
};

static int visit_certificate(const struct certificate *certificate, void *arg, struct err *err)
{
	struct reconciling *reconciling = arg;
	auto_free char *name = mem_printf("%s/%s/%s", certificate->tenant_name,
		certificate->member_name, hex_of(certificate));
	auto_free char *pem = mem_printf("%s.pem", name);
	auto_free char *record = mem_printf("%s.json", name);

	json_object_set_new(reconciling->known, pem, json_true());
	json_object_set_new(reconciling->known, record, json_true());
	return write_certificate(reconciling->certreg, certificate, err);
}

static int visit_tenant(const char *tenant_id, void *arg, struct err *err)
{
	struct reconciling *reconciling = arg;

	return store_certificates_each(
		reconciling->db, tenant_id, visit_certificate, reconciling, err);
}

static void remove_stranger(struct reconciling *reconciling, const char *name)
{
	auto_free char *path = mem_printf("%s/%s", reconciling->certreg->mirror_dir, name);
	struct stat info;

	if (json_object_get(reconciling->known, name) || lstat(path, &info) < 0)
		return;
	if (S_ISDIR(info.st_mode) || info.st_mtim.tv_sec >= reconciling->started_at)
		return;
	if (unlink(path) == 0)
		reconciling->n_removed++;
}

/* Walks `depth` further levels of folders below `name` ("" is the top). */
static void sweep(struct reconciling *reconciling, const char *name, unsigned depth)
{
	auto_free char *path = mem_printf("%s/%s", reconciling->certreg->mirror_dir, name);
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		auto_free char *below = mem_printf("%s%s%s", name, *name ? "/" : "", entry->d_name);

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (depth > 0 && entry->d_type == DT_DIR)
			sweep(reconciling, below, depth - 1);
		else if (depth == 0)
			remove_stranger(reconciling, below);
	}
	if (dir)
		closedir(dir);
}

int mirror_reconcile(struct worker *worker, struct err *err)
{
	auto_json json_t *known = json_object();
	struct reconciling reconciling = { .certreg = certreg_of(worker),
		.db = worker->db,
		.known = known,
		.started_at = time(NULL) };
	auto_free char *removed = NULL;

	if (make_dir(reconciling.certreg->mirror_dir, err) < 0)
		return -1;
	if (store_tenants_each(worker->db, visit_tenant, &reconciling, err) < 0)
		return err_wrap(err, "reconcile the mirror");
	sweep(&reconciling, "", 2);
	removed = mem_printf("%u", reconciling.n_removed);
	if (reconciling.n_removed > 0)
		log_info("mirror reconciled", "removed", removed, NULL);
	return 0;
}
