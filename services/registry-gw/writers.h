/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The uploads that this process writes right now. Each holds a lease in its row; a background loop
 * keeps them alive as long as the process lives, and looks whether who writes was revoked. What a
 * killed predecessor held is let go at the start.
 */
#ifndef REGISTRY_GW_WRITERS_H
#define REGISTRY_GW_WRITERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "lib/err.h"

struct principal;
struct upload;
struct worker;

/* Rung when a writer needs more of its tenant's quota. */
#define WRITERS_TOPIC "reserve"

struct writer {
	LIST_ENTRY(writer) link;
	const char *id;		     /* of the upload; "archive" */
	const struct upload *upload; /* NULL: an archive */
	const struct principal *principal;
	atomic_bool revoked;
	atomic_llong granted; /* bytes of its body that the quota has room for */
	atomic_llong wanted;  /* the same as it would have it; 0: no more than that */
	atomic_bool over;     /* there is no more */
};

struct writers {
	pthread_mutex_t lock;
	LIST_HEAD(writer_list, writer) list;
};

int writers_init(struct worker *worker, struct err *err); /* service.init */
int writers_beat(struct worker *worker, struct err *err); /* a service loop */
/* Another: reserves what writers want. */
int writers_reserve(struct worker *worker, struct err *err);

/* Any thread; the writer stays the caller's. */
void writers_add(struct writers *writers, struct writer *writer);
/* false: the writer's tenant has `most` of this id already. */
bool writers_add_few(struct writers *writers, struct writer *writer, unsigned most);
bool writers_is_revoked(struct writer *writer);
bool writers_is_over(struct writer *writer);
void writers_remove(struct writers *writers, struct writer *writer);

#endif
