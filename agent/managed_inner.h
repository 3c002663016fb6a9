/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by managed.c, which serves the app, and managed_store.c, which speaks to the locations.
 * For these files only. */
#ifndef STRONGROOM_AGENT_MANAGED_INNER_H
#define STRONGROOM_AGENT_MANAGED_INNER_H

#include <pthread.h>

#include "agent/app_http.h"
#include "agent/managed.h"

struct managed_item {
	const struct managed *managed;
	const json_t *entry; /* of the policy's inputs or outputs */
	char *url;	     /* with its query string: a secret */
	char *target;	     /* host:port */
	bool is_output;
	int fd; /* an input's bytes; -1: not there yet */
	long long size;
	pthread_mutex_t order; /* one store at a time: the receipt names what was sent last */
	char digest[DIGEST_TEXT_SIZE]; /* "": nothing was fetched or sent; under managed.lock */
};

struct managed {
	struct job *job;
	struct egress *egress;
	char *roots; /* PEM, or NULL: the guest's */
	struct managed_item *items;
	size_t n_items;
	pthread_mutex_t lock;
	struct app_server *server;
};

/* Fills item->fd, size and digest. */
int managed_fetch(struct managed_item *item, struct err *err);
/* What was read into fd goes to the location. */
int managed_store(const struct managed_item *item, int fd, long long size, struct err *err);

#endif
