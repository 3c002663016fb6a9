/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of a sandbox to the outside, on the event loop: connects to the addresses that
 * were found to be allowed, one after the other, and hands bytes on both ways as they are. Each
 * direction ends by itself; at most WINDOW_BYTES of each wait here.
 */
#ifndef ORCHESTRATOR_TUNNEL_H
#define ORCHESTRATOR_TUNNEL_H

#include "lib/fetch_named.h"
#include "lib/web_stream.h"
#include "services/orchestrator/tunnels.h"

#define TUNNEL_IDLE_MS (300 * 1000)

struct tunnel {
	struct tunnel_use *use;
	struct sockaddr_storage addresses[FETCH_NAMED_ADDRESSES];
	size_t n_addresses;
	/* the loop's */
	size_t tried;
	struct web_stream *stream;
	struct event *bell;
	struct event *connecting;
	struct bufferevent *target; /* once connected */
	bool client_ended;
	bool target_ended;
};

/* Members of a struct web_stream_ops, for a context made by its begin(). */
int tunnel_relay(struct web_stream *stream, void *ctx, struct err *err);
int tunnel_body(struct web_stream *stream, void *ctx, struct evbuffer *in, struct err *err);
void tunnel_end(struct web_stream *stream, void *ctx);
void tunnel_drained(struct web_stream *stream, void *ctx);
void tunnel_release(void *ctx);

#endif
