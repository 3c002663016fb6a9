/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The uploads that this process writes right now. Each holds a lease in its row; a background loop
 * keeps them alive as long as the process lives. What a killed predecessor held is let go at the
 * start.
 */
#ifndef REGISTRY_GW_WRITERS_H
#define REGISTRY_GW_WRITERS_H

#include <pthread.h>
#include <sys/queue.h>

#include "lib/err.h"

struct worker;

struct writer {
	LIST_ENTRY(writer) link;
	const char *id; /* of the upload */
};

struct writers {
	pthread_mutex_t lock;
	LIST_HEAD(writer_list, writer) list;
};

int writers_init(struct worker *worker, struct err *err); /* service.init */
int writers_beat(struct worker *worker, struct err *err); /* a service loop */

/* Any thread; the writer stays the caller's. */
void writers_add(struct writers *writers, struct writer *writer, const char *id);
void writers_remove(struct writers *writers, struct writer *writer);

#endif
