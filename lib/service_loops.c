/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Background loops: one thread each, or a pool of them, each with its own worker; run at a ring of
 * their topic and at their beat, slower after failures. Three of them are every service's: the
 * outbox relay, the refresh of auth, and retention.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/db.h"
#include "lib/id.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service_inner.h"
#include "lib/wake.h"

#define OUTBOX_BEAT_MS 1000
#define OUTBOX_BUSY_MS 500
#define OUTBOX_BATCH 100u
#define AUTH_BEAT_MS 5000
#define AUDIT_BEAT_MS 5000
#define FIRST_BACKOFF_MS 200
#define MAX_BACKOFF_MS 10000

static const struct sql outbox_take = {
	.name = "outbox_take",
	.text = "WITH d AS (DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id "
		"LIMIT 100 "
		"FOR UPDATE SKIP LOCKED) RETURNING topic, key) SELECT topic, key FROM d",
	.n_params = 0,
};

static int outbox_batch(struct worker *worker, size_t *ret_count, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(worker->db, DB_SWEEP, &outbox_take, DB_NO_PARAMS, &rows, err) < 0)
		return -1;
	*ret_count = db_count(rows);
	for (size_t i = 0; i < *ret_count; i++)
		wake_ring(worker->wake, db_text(rows, i, "topic"), db_text(rows, i, "key"));
	return 0;
}

static int outbox_relay(struct worker *worker, struct err *err)
{
	size_t count, total = 0;

	do {
		if (outbox_batch(worker, &count, err) < 0)
			return -1;
		total += count;
	} while (count == OUTBOX_BATCH);
	return total > 0 ? OUTBOX_BUSY_MS : 0;
}

static int auth_renew(struct worker *worker, struct err *err)
{
	return auth_refresh(worker->auth, worker->fetch, err);
}

/* Every copy does this, each statement is whole by itself, and what a killed one left undone is
 * still past its time. */
static int retention(struct worker *worker, struct err *err)
{
	const struct service *service = ((struct service_worker *)worker)->state->service;
	const struct sql *const *sql = service->forgets;

	for (; sql && *sql; sql++) {
		if (db_run(worker->db, DB_SWEEP, *sql, DB_NO_PARAMS, NULL, err) < 0)
			return -1;
	}
	return service->forget ? service->forget(worker, err) : 0;
}

static int audit_tell(struct worker *worker, struct err *err)
{
	return audit_flush(worker, false, err);
}

/* --- one thread --- */

static void deadline_in(struct timespec *ret_time, long ms)
{
	clock_gettime(CLOCK_MONOTONIC, ret_time);
	ret_time->tv_sec += ms / 1000;
	ret_time->tv_nsec += ms % 1000 * 1000000;
	if (ret_time->tv_nsec >= 1000000000) {
		ret_time->tv_sec++;
		ret_time->tv_nsec -= 1000000000;
	}
}

/* After failures a ring does not shorten the wait. Returns whether the thread shall end. */
static bool wait_for_turn(struct service_thread *thread, long ms, bool backing_off)
{
	struct timespec until;
	bool stopping;

	deadline_in(&until, ms);
	pthread_mutex_lock(&thread->mutex);
	thread->waiting = !backing_off;
	while (!thread->stopping && (backing_off || !thread->rung)) {
		if (pthread_cond_timedwait(&thread->changed, &thread->mutex, &until) != 0)
			break;
	}
	thread->waiting = thread->rung = false;
	stopping = thread->stopping;
	pthread_mutex_unlock(&thread->mutex);
	return stopping;
}

static long backoff_ms(unsigned failures)
{
	unsigned shift = failures < 6 ? failures : 6;
	long most = (long)FIRST_BACKOFF_MS << shift;
	unsigned random;

	if (most > MAX_BACKOFF_MS)
		most = MAX_BACKOFF_MS;
	rand_bytes(&random, sizeof(random));
	return most / 2 + (long)(random % (unsigned)(most / 2));
}

static void *loop_main(void *arg)
{
	struct service_thread *thread = arg;
	struct worker *worker = service_worker_new(thread->state);
	unsigned failures = 0;
	long wait_ms = 0;

	/* for top -H; a name of more than 15 bytes is refused, and the thread has the program's */
	(void)pthread_setname_np(pthread_self(), thread->loop.name);
	while (!wait_for_turn(thread, wait_ms, failures > 0)) {
		struct err err = { .kind = ERR_NONE };
		int result = thread->loop.run(worker, &err);

		if (result < 0) {
			err_wrap(&err, "loop '%s'", thread->loop.name);
			log_failure("background loop failed", &err);
			wait_ms = backoff_ms(failures++);
		} else {
			failures = 0;
			wait_ms = result > 0 ? result : thread->loop.beat_ms;
		}
	}
	service_worker_free(worker);
	return NULL;
}

/* --- all of them --- */

static void add_thread(
	struct service_state *state, const struct service_loop *loop, size_t siblings)
{
	struct service_thread *thread = &state->threads[state->n_threads++];
	pthread_condattr_t monotonic;

	thread->loop = *loop;
	thread->state = state;
	thread->siblings = siblings;
	pthread_mutex_init(&thread->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&thread->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static size_t siblings_of(const struct service_state *state, const struct service_loop *loop)
{
	return loop->is_pool && state->conf.workers > 1 ? (size_t)state->conf.workers : 1;
}

static void add(struct service_state *state, const struct service_loop *loop)
{
	size_t siblings = siblings_of(state, loop);

	for (size_t i = 0; i < siblings; i++)
		add_thread(state, loop, siblings);
}

void service_loops_prepare(struct service_state *state)
{
	const struct service_loop *loops = state->service->loops;
	size_t count = 4; /* ours */

	for (const struct service_loop *loop = loops; loop && loop->name; loop++)
		count += siblings_of(state, loop);
	state->threads = mem_array(count, sizeof(*state->threads));
	for (const struct service_loop *loop = loops; loop && loop->name; loop++)
		add(state, loop);
	if (*state->conf.database)
		add(state,
			&(const struct service_loop) {
				.name = "outbox", .beat_ms = OUTBOX_BEAT_MS, .run = outbox_relay });
	if (*state->conf.database)
		add(state, &(const struct service_loop) {
				   .name = "audit", .beat_ms = AUDIT_BEAT_MS, .run = audit_tell });
	if (*state->conf.certreg_url)
		add(state, &(const struct service_loop) { .name = "auth",
				   .topic = AUTH_EPOCH_TOPIC,
				   .beat_ms = AUTH_BEAT_MS,
				   .run = auth_renew });
	if (state->service->forgets || state->service->forget)
		add(state, &(const struct service_loop) { .name = "retention",
				   .beat_ms = state->conf.retention_beat_ms,
				   .run = retention });
}

void service_loops_start(struct service_state *state)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (size_t i = 0; i < state->n_threads; i++) {
		if (pthread_create(
			    &state->threads[i].thread, NULL, loop_main, &state->threads[i]) != 0)
			abort();
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static bool ring(struct service_thread *thread, bool must_wait)
{
	bool is_rung;

	pthread_mutex_lock(&thread->mutex);
	is_rung = !must_wait || (thread->waiting && !thread->rung);
	if (is_rung) {
		thread->rung = true;
		pthread_cond_signal(&thread->changed);
	}
	pthread_mutex_unlock(&thread->mutex);
	return is_rung;
}

/* One that waits; when all are at work, each looks once more when it is done. */
static void ring_siblings(struct service_thread *first)
{
	for (size_t i = 0; i < first->siblings; i++) {
		if (ring(&first[i], true))
			return;
	}
	for (size_t i = 0; i < first->siblings; i++)
		ring(&first[i], false);
}

void service_loops_ring(struct service_state *state, const char *topic)
{
	for (size_t i = 0; i < state->n_threads; i += state->threads[i].siblings) {
		struct service_thread *first = &state->threads[i];

		if (first->loop.topic && strcmp(first->loop.topic, topic) == 0)
			ring_siblings(first);
	}
}

void service_loops_stop(struct service_state *state)
{
	for (size_t i = 0; i < state->n_threads; i++) {
		struct service_thread *thread = &state->threads[i];

		pthread_mutex_lock(&thread->mutex);
		thread->stopping = true;
		pthread_cond_signal(&thread->changed);
		pthread_mutex_unlock(&thread->mutex);
	}
	for (size_t i = 0; i < state->n_threads; i++)
		pthread_join(state->threads[i].thread, NULL);
}
