/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exchange with the registry behind us, on the event loop: a request whose body is handed over
 * as it arrives (chunked), an answer whose body is handed on as it comes. Nothing is kept but what
 * is on its way: of the body one piece as it was given, of the answer RELAY_HIGH_BYTES. Who gives
 * too fast is told to wait for room().
 *
 * A relay lives in its owner's struct and belongs to the loop. Its hooks run inside its callbacks;
 * settled() is the last of them, and comes once.
 */
#ifndef REGISTRY_GW_RELAY_H
#define REGISTRY_GW_RELAY_H

#include <stdbool.h>

#include "lib/http_parse.h"

#define RELAY_HIGH_BYTES (256u * 1024u)

struct bufferevent;
struct evbuffer;
struct event_base;
struct relay;

enum relay_state {
	RELAY_IDLE,	 /* not yet started */
	RELAY_SENDING,	 /* the request's body is on its way */
	RELAY_WAITING,	 /* all is sent, the answer is not there */
	RELAY_ANSWERING, /* its head is known */
	RELAY_DONE,	 /* and so is its last byte */
	RELAY_FAILED,	 /* relay->err says why */
};

struct relay_hooks {
	void (*room)(struct relay *relay); /* the body may go on; may be NULL */
	void (*head)(struct relay *relay); /* relay->head is there; may be NULL */
	void (*data)(struct relay *relay,
		struct evbuffer *data);	      /* takes all of it; NULL: thrown away */
	void (*settled)(struct relay *relay); /* DONE or FAILED */
};

struct relay {
	enum relay_state state;
	const struct relay_hooks *hooks;
	void *owner;
	struct bufferevent *bev;
	struct http_parse *parse;
	struct http_scan scan;
	struct http_head head;
	char *head_text;
	struct evbuffer *data;
	long long sent;	       /* bytes of the body that were taken */
	long long answer_left; /* of a counted answer; -1: chunked or until the end */
	bool paused;
	struct err err;
};

/* Connects and sends `head` (request line and headers with the empty line). `has_body`: chunked
 * pieces follow. On -1 (registry.unreachable) no hook comes. */
int relay_start(struct relay *relay, struct event_base *base, const char *socket_path,
	const char *head, bool has_body, struct err *err);
/* Takes all of `body`, or nothing and returns false: then room() will come. */
bool relay_body(struct relay *relay, struct evbuffer *body);
void relay_body_end(struct relay *relay);
/* Stops and goes on reading the answer. */
void relay_pause(struct relay *relay);
void relay_resume(struct relay *relay);
void relay_release(struct relay *relay); /* in any state; no hook comes any more */

#endif
