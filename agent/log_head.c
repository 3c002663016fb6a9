/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching the checkpoint, with patience. */
#include "agent/log_head.h"

#include "lib/checkpoint.h"
#include "lib/fetch.h"
#include "lib/mem.h"

#define PATH "/v1/audit/checkpoint"
#define TIMEOUT_MS 30000

static int try_once(struct edge *edge, json_t **ret_head, struct err *err)
{
	auto_free char *url = edge_url(edge, PATH);
	const struct fetch_request req = { .method = "GET",
		.url = url,
		.timeout_ms = TIMEOUT_MS,
		.max_response = NOTE_MAX_BYTES };
	struct checkpoint checkpoint;
	auto_response res = { .status = 0 };

	if (fetch_do(edge_fetch(edge), &req, &res, err) < 0)
		return -1;
	if (res.status == 404) {
		*ret_head = NULL;
		return 0;
	}
	if (res.status != 200)
		return err_set(err, res.status >= 500 ? ERR_UNAVAILABLE : ERR_UPSTREAM,
			"upstream.status", "the log's checkpoint: status %ld", res.status);
	if (checkpoint_read((const char *)res.body.data, res.body.len, &checkpoint, err) < 0)
		return -1;
	*ret_head = checkpoint_head(&checkpoint);
	return 0;
}

int log_head_fetch(struct edge *edge, json_t **ret_head, struct err *err)
{
	struct edge_patience patience = edge_patience_new();
	struct err failure = { .kind = ERR_NONE };

	while (try_once(edge, ret_head, &failure) < 0) {
		if (!edge_wait(&patience, &failure)) {
			*err = failure;
			return -1;
		}
		err_clear(&failure);
	}
	return 0;
}
