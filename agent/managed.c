/* SPDX-License-Identifier: Apache-2.0 */
/* The items of managed.h, and who asks for them. */
#include "agent/managed.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/managed_inner.h"
#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

#define CONNECTIONS 16
#define PATIENCE_S 300 /* an app may work between two reads */
#define PIECE 65536
#define MAX_ROOTS (1u << 20)

/* --- items --- */

/* The location with its own query string behind it, which was checked with its commitment. */
static int url_of(const struct job *job, const json_t *entry, char **ret_url, struct err *err)
{
	const json_t *secret = json_object_get(job->secrets.credentials, json_text(entry, "slot"));
	const char *base64 = json_text(secret, "query_string"),
		   *url = json_text(json_object_get(entry, "location"), "url");
	unsigned char *query = NULL;
	size_t len = 0;

	if (!base64) {
		*ret_url = mem_strdup(url);
		return 0;
	}
	if (codec_b64_decode(base64, strlen(base64), &query, &len, err) < 0)
		return -1;
	*ret_url = mem_printf("%s?%.*s", url, (int)len, (const char *)query);
	mem_wipe_free(query, len);
	return 0;
}

static int add_items(struct managed *managed, const char *list, bool are_outputs, struct err *err)
{
	struct job *job = managed->job;
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(job->policy.doc, list), i, entry) {
		struct managed_item *item = &managed->items[managed->n_items];

		if (!json_object_get(entry, "location"))
			continue;
		*item = (struct managed_item) {
			.managed = managed, .entry = entry, .is_output = are_outputs, .fd = -1
		};
		pthread_mutex_init(&item->order, NULL);
		managed->n_items++;
		item->target = trust_location_endpoint(entry);
		if (!item->target)
			return err_set(err, ERR_UNPROCESSABLE, "egress.plain_http",
				"a location is reached over https only");
		if (url_of(job, entry, &item->url, err) < 0)
			return -1;
	}
	return 0;
}

static int join_roots(struct managed *managed, struct err *err)
{
	const json_t *egress = json_object_get(managed->job->policy.doc, "egress"),
		     *roots = json_object_get(egress, "roots");
	struct buf text = BUF_INIT(MAX_ROOTS);
	json_t *root;
	size_t i;

	json_array_foreach (roots, i, root) {
		if (buf_printf(&text, err, "%s\n", json_string_value(root)) < 0) {
			buf_release(&text);
			return -1;
		}
	}
	managed->roots = text.len > 0 ? mem_strndup((const char *)text.data, text.len) : NULL;
	buf_release(&text);
	return 0;
}

static void forget_url(struct managed_item *item)
{
	if (item->url)
		mem_wipe_free(item->url, strlen(item->url));
	item->url = NULL;
}

static int fetch_inputs(struct managed *managed, struct err *err)
{
	for (size_t i = 0; i < managed->n_items; i++) {
		struct managed_item *item = &managed->items[i];

		if (item->is_output)
			continue;
		if (managed_fetch(item, err) < 0)
			return -1;
		forget_url(item);
		log_info("input fetched", "slot", json_text(item->entry, "slot"), "from",
			item->target, "digest", item->digest, NULL);
	}
	return 0;
}

int managed_new(
	struct job *job, struct egress *egress, struct managed **ret_managed, struct err *err)
{
	size_t most = json_array_size(json_object_get(job->policy.doc, "inputs")) +
		      json_array_size(json_object_get(job->policy.doc, "outputs"));
	struct managed *managed = mem_alloc(sizeof(*managed));

	managed->job = job;
	managed->egress = egress;
	managed->items = mem_array(most + 1, sizeof(*managed->items));
	pthread_mutex_init(&managed->lock, NULL);
	if (join_roots(managed, err) < 0 || add_items(managed, "inputs", false, err) < 0 ||
		add_items(managed, "outputs", true, err) < 0 || fetch_inputs(managed, err) < 0) {
		managed_free(managed);
		return -1;
	}
	*ret_managed = managed;
	return 0;
}

void managed_free(struct managed *managed)
{
	if (!managed)
		return;
	for (size_t i = 0; i < managed->n_items; i++) {
		struct managed_item *item = &managed->items[i];

		forget_url(item);
		free(item->target);
		pthread_mutex_destroy(&item->order);
		if (item->fd >= 0)
			close(item->fd);
	}
	pthread_mutex_destroy(&managed->lock);
	free(managed->items);
	free(managed->roots);
	free(managed);
}

const char *managed_digest(const struct managed *managed, const char *slot)
{
	for (size_t i = 0; managed && i < managed->n_items; i++) {
		const struct managed_item *item = &managed->items[i];

		if (json_text_is(item->entry, "slot", slot))
			return *item->digest ? item->digest : NULL;
	}
	return NULL;
}

/* --- what the app asks for --- */

/* /<port>/<name>, whatever the query. */
static struct managed_item *find(struct managed *managed, const char *target)
{
	size_t len = strcspn(target, "?");

	for (size_t i = 0; i < managed->n_items; i++) {
		struct managed_item *item = &managed->items[i];
		auto_free char *path = mem_printf(
			"/%s/%s", json_text(item->entry, "port"), json_text(item->entry, "name"));

		if (strlen(path) == len && strncmp(path, target, len) == 0)
			return item;
	}
	return NULL;
}

static void give(const struct managed_item *item, int fd)
{
	char data[PIECE];
	long long at = 0;

	if (app_send_head(fd, 200, "application/octet-stream", item->size) < 0)
		return;
	while (at < item->size) {
		ssize_t got = pread(item->fd, data, sizeof(data), at);

		if (got <= 0 || app_send(fd, data, (size_t)got) < 0)
			return;
		at += got;
	}
}

/* A body on its way into a nameless file. */
struct spool {
	int fd;
	long long size;
	struct digest_stream *digest;
};

static int spool_add(void *arg, const void *data, size_t len, struct err *err)
{
	struct spool *spool = arg;

	spool->size += (long long)len;
	digest_stream_add(spool->digest, data, len);
	return job_write(spool->fd, data, len, err);
}

static int take_body(const struct managed_item *item, struct app_request *request,
	struct spool *spool, struct err *err)
{
	const struct managed *managed = item->managed;
	const json_t *limits = json_object_get(managed->job->policy.doc, "limits");
	long long max = json_integer_value(json_object_get(limits, "output_bytes"));

	return app_request_body(request, max, spool_add, spool, err);
}

/* Noted before it is sent: the location may have it although no answer comes. */
static int send_spool(struct managed_item *item, struct spool *spool, struct err *err)
{
	struct managed *managed = (struct managed *)item->managed;
	int rc = -1;

	pthread_mutex_lock(&item->order);
	if (egress_is_over(managed->egress)) {
		err_set(err, ERR_GONE, "egress.ended", "the app is over");
	} else {
		pthread_mutex_lock(&managed->lock);
		digest_stream_finish_text(spool->digest, item->digest);
		pthread_mutex_unlock(&managed->lock);
		rc = managed_store(item, spool->fd, spool->size, err);
	}
	pthread_mutex_unlock(&item->order);
	return rc;
}

/* The whole of it first: the location is told its length, and gets nothing of a body that was cut.
 */
static int store(struct managed_item *item, struct app_request *request, struct err *err)
{
	struct spool spool = { .digest = digest_stream_new() };
	auto_fd int fd = -1;
	int rc = job_temporary(item->managed->job, &fd, err);

	spool.fd = fd;
	if (rc == 0)
		rc = take_body(item, request, &spool, err);
	if (rc == 0)
		rc = send_spool(item, &spool, err);
	digest_stream_free(spool.digest);
	return rc;
}

static int answer(struct managed *managed, struct app_request *request, struct err *err)
{
	const char *method = request->head.method;
	struct managed_item *item = find(managed, request->head.target);

	if (!item)
		return err_set(err, ERR_NOT_FOUND, "egress.no_location",
			"the policy has no location of that port and name");
	if (strcmp(method, item->is_output ? "PUT" : "GET") != 0)
		return err_set(err, ERR_METHOD, "egress.method",
			item->is_output ? "an output is PUT" : "an input is GOT by GET");
	if (!item->is_output) {
		give(item, request->fd);
		return 0;
	}
	return store(item, request, err) < 0 ? -1
					     : app_send_head(request->fd, 200, "text/plain", 0);
}

static void serve(void *arg, struct app_request *request)
{
	struct err err = { .kind = ERR_NONE };

	if (answer(arg, request, &err) == 0 || err.kind == ERR_NONE)
		return;
	app_refuse(request->fd, &err); /* no line: it would be the app's word on the console */
}

int managed_serve(struct managed *managed, int listener, struct err *err)
{
	const struct app_server_conf conf = { .listener = listener,
		.connections = CONNECTIONS,
		.patience_s = PATIENCE_S,
		.serve = serve,
		.arg = managed };

	managed->server = app_server_start(&conf, err);
	return managed->server ? 0 : -1;
}

/* First what its threads may wait for. */
void managed_stop(struct managed *managed)
{
	if (!managed)
		return;
	egress_end(managed->egress);
	app_server_stop(managed->server);
	managed->server = NULL;
	egress_end(managed->egress);
}
