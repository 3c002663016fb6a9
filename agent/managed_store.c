/* SPDX-License-Identifier: Apache-2.0 */
/* One request to a location, through the edge, by libcurl, whose TLS ends at the location. What may
 * pass is asked again for a minute: a store that is away for longer ends the run. */
#include <string.h>
#include <unistd.h>

#include "agent/managed_inner.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define PATIENCE_MS 60000

/* Bytes on their way to a nameless file. */
struct intake {
	int fd;
	long long size, max;
	struct digest_stream *digest;
	struct err refusal; /* ours: no other try will help */
};

static int take(void *arg, const void *data, size_t len, struct err *err)
{
	struct intake *intake = arg;
	int rc;

	intake->size += (long long)len;
	if (intake->size > intake->max)
		rc = err_set(&intake->refusal, ERR_UNPROCESSABLE, "egress.too_large",
			"the location has more than %lld bytes", intake->max);
	else
		rc = job_write(intake->fd, data, len, &intake->refusal);
	if (rc < 0) {
		*err = intake->refusal;
		return -1;
	}
	digest_stream_add(intake->digest, data, len);
	return 0;
}

/* What the location answered, as an error that says whether another try may help. */
static int judge(const struct managed_item *item, long status, struct err *err)
{
	bool may_pass = status >= 500 || status == 408 || status == 429;

	if (status >= 200 && status < 300)
		return 0;
	return err_set(err, may_pass ? ERR_UPSTREAM : ERR_UNPROCESSABLE, "egress.refused",
		"%s answered %ld for the slot '%s'", item->target, status,
		json_text(item->entry, "slot"));
}

/* A server that is not who it should be will not become so. */
static void settle(const struct managed_item *item, struct err *failure)
{
	char detail[sizeof(failure->detail)];

	if (strcmp(failure->code, "upstream.tls") != 0)
		return;
	snprintf(detail, sizeof(detail), "%s", failure->detail);
	err_set(failure, ERR_UNPROCESSABLE, "egress.tls", "%s: %.150s", item->target, detail);
}

static int exchange(const struct managed_item *item, struct fetch_request *request, struct err *err)
{
	const struct fetch_conf conf = { .ca_pem = item->managed->roots,
		.user_agent = "strongroom-agent" };
	auto_response res = { 0 };
	char name[EGRESS_NAME_SIZE];
	struct fetch *fetch;
	int rc;

	if (egress_connect(item->managed->egress, item->target, name, err) < 0)
		return -1;
	fetch = fetch_new(&conf);
	request->url = item->url;
	request->abstract_socket = name;
	request->timeout_ms = -1;
	rc = fetch_do(fetch, request, &res, err);
	fetch_free(fetch);
	if (rc == 0)
		rc = judge(item, res.status, err);
	return rc;
}

static bool again(
	struct edge_patience *patience, const struct managed_item *item, struct err *failure)
{
	settle(item, failure);
	return edge_wait(patience, failure);
}

/* --- an input --- */

static int try_fetch(const struct managed_item *item, struct intake *intake, struct err *err)
{
	struct fetch_request request = { .method = "GET", .sink = take, .sink_arg = intake };
	int rc;

	if (ftruncate(intake->fd, 0) < 0 || lseek(intake->fd, 0, SEEK_SET) < 0)
		return err_errno(err, "empty a file");
	intake->size = 0;
	intake->digest = digest_stream_new();
	rc = exchange(item, &request, err);
	if (rc < 0)
		digest_stream_free(take_ptr(intake->digest));
	if (intake->refusal.kind != ERR_NONE)
		*err = intake->refusal;
	return rc;
}

static int fetch_all(const struct managed_item *item, struct intake *intake, struct err *err)
{
	struct edge_patience patience = edge_patience_new();
	struct err failure = { 0 };

	patience.end_ms = clock_monotonic_ms() + PATIENCE_MS;
	while (try_fetch(item, intake, &failure) < 0) {
		if (intake->refusal.kind != ERR_NONE || !again(&patience, item, &failure)) {
			*err = failure;
			return -1;
		}
	}
	return 0;
}

int managed_fetch(struct managed_item *item, struct err *err)
{
	const struct job *job = item->managed->job;
	const json_t *limits = json_object_get(job->policy.doc, "limits");
	const char *wanted = json_text(item->entry, "digest");
	struct intake intake = { .max = json_integer_value(
					 json_object_get(limits, "memory_bytes")) };
	auto_fd int fd = -1;

	if (job_temporary(job, &fd, err) < 0)
		return -1;
	intake.fd = fd;
	if (fetch_all(item, &intake, err) < 0)
		return -1;
	digest_stream_finish_text(intake.digest, item->digest);
	digest_stream_free(intake.digest);
	if (wanted && strcmp(wanted, item->digest) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "input.digest",
			"%s has other bytes than the policy names for the slot '%s'", item->target,
			json_text(item->entry, "slot"));
	item->size = intake.size;
	item->fd = take_fd(fd);
	return 0;
}

/* --- an output --- */

int managed_store(const struct managed_item *item, int fd, long long size, struct err *err)
{
	struct edge_patience patience = edge_patience_new();
	struct err failure = { 0 };

	patience.end_ms = clock_monotonic_ms() + PATIENCE_MS;
	for (;;) {
		struct fetch_request request = {
			.method = "PUT", .body_fd = fd, .body_len = (size_t)size
		};

		if (exchange(item, &request, &failure) == 0)
			return 0;
		if (!again(&patience, item, &failure)) {
			*err = failure;
			return -1;
		}
	}
}
