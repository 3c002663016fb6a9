/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole log as one tenant may have it, line by line into a file that has no name: a head of its
 * own, every leaf in order (its hash; salt and record too where they are the tenant's), each signed
 * head behind its last leaf, and how many records the tenant has. Memory is that of a page. A
 * tenant has one export at a time, so that nobody's keep the others' waiting.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "lib/auth.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/audit.h"
#include "services/certreg/audit_key.h"
#include "services/certreg/store_audit.h"

#define PAGE_LEAVES 1000
#define RETRY_SECONDS 5

/* --- whose turn it is --- */

static struct {
	pthread_mutex_t mutex;
	char tenants[AUDIT_EXPORT_WORKERS][ID_SIZE]; /* "": free */
} running = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* There is a place for each worker of the lane: NULL says that the tenant has one already. */
static char *take_place(const char *tenant)
{
	char *place = NULL;

	pthread_mutex_lock(&running.mutex);
	for (size_t i = 0; i < AUDIT_EXPORT_WORKERS; i++) {
		if (strcmp(running.tenants[i], tenant) == 0) {
			place = NULL;
			break;
		}
		if (!*running.tenants[i])
			place = running.tenants[i];
	}
	if (place)
		snprintf(place, ID_SIZE, "%s", tenant);
	pthread_mutex_unlock(&running.mutex);
	return place;
}

static void leave_place(char *place)
{
	pthread_mutex_lock(&running.mutex);
	*place = '\0';
	pthread_mutex_unlock(&running.mutex);
}

/* --- lines --- */

struct writer {
	struct web_req *req;
	FILE *file;
	unsigned long long at;	/* the next leaf */
	unsigned long long end; /* the size of the newest head when the export began */
	unsigned long long records;
};

static int put(struct writer *writer, json_t *line, struct err *err)
{
	auto_json json_t *owned = line;

	if (!owned || json_dumpf(owned, writer->file, JSON_COMPACT) < 0 ||
		fputc('\n', writer->file) == EOF)
		return err_errno(err, "write the export");
	return 0;
}

/* The record's text stays as it was hashed. */
static int put_leaf(const struct audit_leaf *leaf, void *arg, struct err *err)
{
	struct writer *writer = arg;
	int result;

	if (leaf->record)
		result = fprintf(writer->file,
			"{\"leaf\":%llu,\"hash\":\"%s\",\"salt\":\"%s\",\"record\":%s}\n",
			leaf->place, leaf->hash, leaf->salt, leaf->record);
	else
		result = fprintf(
			writer->file, "{\"leaf\":%llu,\"hash\":\"%s\"}\n", leaf->place, leaf->hash);
	return result < 0 ? err_errno(err, "write the export") : 0;
}

static int put_leaves(struct writer *writer, unsigned long long end, struct err *err)
{
	while (writer->at < end) {
		unsigned long long next =
			end - writer->at > PAGE_LEAVES ? writer->at + PAGE_LEAVES : end;

		if (store_audit_leaves(writer->req->worker->db, writer->req->principal->tenant,
			    writer->at, next, put_leaf, writer, err) < 0)
			return -1;
		writer->at = next;
	}
	return 0;
}

struct heads {
	struct writer *writer;
	json_t *list; /* of one page: [[size, note]] */
};

static int keep_head(unsigned long long size, const char *note, void *arg, struct err *err)
{
	struct heads *heads = arg;

	(void)err;
	json_array_append_new(heads->list, json_pack("[I,s]", (json_int_t)size, note));
	return 0;
}

/* The heads of a page of leaves, each behind its last leaf. */
static int put_page(struct writer *writer, struct err *err)
{
	unsigned long long end =
		writer->end - writer->at > PAGE_LEAVES ? writer->at + PAGE_LEAVES : writer->end;
	auto_json json_t *list = json_array();
	struct heads heads = { writer, list };
	const json_t *head;
	size_t i;

	if (store_audit_heads(writer->req->worker->db, writer->at, end, keep_head, &heads, err) < 0)
		return -1;
	json_array_foreach (list, i, head) {
		unsigned long long size =
			(unsigned long long)json_integer_value(json_array_get(head, 0));

		if (put_leaves(writer, size, err) < 0 ||
			put(writer, json_pack("{s:O}", "head", json_array_get(head, 1)), err) < 0)
			return -1;
	}
	return put_leaves(writer, end, err);
}

static int put_all(struct writer *writer, struct err *err)
{
	const struct note_key *key = &certreg_of(writer->req->worker)->audit->own;
	const char *tenant = writer->req->principal->tenant;
	auto_free char *text = note_key_text(key);

	if (store_audit_end(writer->req->worker->db, tenant, &writer->end, &writer->records, err) <
		0)
		return -1;
	if (put(writer,
		    json_pack("{s:s,s:s,s:s,s:s}", "v", "strongroom-audit-export-1", "origin",
			    key->name, "key", text, "tenant", tenant),
		    err) < 0)
		return -1;
	while (writer->at < writer->end) {
		if (put_page(writer, err) < 0)
			return -1;
	}
	return put(writer,
		json_pack("{s:{s:I,s:I}}", "end", "size", (json_int_t)writer->end, "records",
			(json_int_t)writer->records),
		err);
}

static int write_file(struct web_req *req, int *ret_fd, long long *ret_len, struct err *err)
{
	struct writer writer = { .req = req };
	auto_file FILE *file = tmpfile();
	auto_fd int fd = -1;

	if (!file)
		return err_errno(err, "make a file for the export");
	writer.file = file;
	if (put_all(&writer, err) < 0)
		return -1;
	fd = fflush(file) == 0 ? fcntl(fileno(file), F_DUPFD_CLOEXEC, 0) : -1;
	if (fd < 0 || (*ret_len = lseek(fd, 0, SEEK_END)) < 0)
		return err_errno(err, "keep the export");
	*ret_fd = take_fd(fd);
	return 0;
}

int audit_export_write(struct web_req *req, int *ret_fd, long long *ret_len, struct err *err)
{
	char *place = take_place(req->principal->tenant);
	int result;

	if (!place) {
		err_set(err, ERR_LIMITED, "audit.export_running",
			"an export of this tenant is being made");
		err->retry_s = RETRY_SECONDS;
		return -1;
	}
	result = write_file(req, ret_fd, ret_len, err);
	leave_place(place);
	return result;
}
