/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes of lane.h: one mutex, one queue, n threads that each own a worker. */
#include "lib/lane.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/mem.h"

struct lane {
	const struct lane_conf *conf;
	struct worker *(*worker_new)(void *arg);
	void (*worker_free)(struct worker *worker);
	void *arg;
	pthread_mutex_t mutex;
	pthread_cond_t filled;
	struct lane_job *first;
	struct lane_job **last;
	unsigned waiting;
	bool stopping;
	unsigned n_threads;
	pthread_t *threads;
};

/* Cuts the first job off the queue, with those that join it. */
static struct lane_job *cut_first(struct lane *lane)
{
	struct lane_job *first = lane->first, *last = first;
	unsigned count = 1;

	while (first->joins && last->next && last->next->joins && count < LANE_MAX_JOINED) {
		last = last->next;
		count++;
	}
	lane->first = last->next;
	last->next = NULL;
	if (!lane->first)
		lane->last = &lane->first;
	lane->waiting -= count;
	return first;
}

static struct lane_job *take_jobs(struct lane *lane)
{
	struct lane_job *jobs;

	pthread_mutex_lock(&lane->mutex);
	while (!lane->first && !lane->stopping)
		pthread_cond_wait(&lane->filled, &lane->mutex);
	jobs = lane->first ? cut_first(lane) : NULL;
	pthread_mutex_unlock(&lane->mutex);
	return jobs;
}

static void *work(void *arg)
{
	struct lane *lane = arg;
	struct worker *worker = lane->worker_new(lane->arg);
	struct lane_job *jobs;

	while ((jobs = take_jobs(lane)))
		jobs->run(jobs, worker);
	lane->worker_free(worker);
	return NULL;
}

static unsigned thread_count(const struct lane_conf *conf)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (conf->threads)
		return conf->threads;
	return cores > 0 ? (unsigned)cores : 1;
}

/* Signals stay with the main thread. */
static void start_threads(struct lane *lane)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < lane->n_threads; i++) {
		if (pthread_create(&lane->threads[i], NULL, work, lane) != 0) {
			fputs("level=error msg=\"cannot start a lane's thread\"\n", stderr);
			abort();
		}
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct lane *lane_new(const struct lane_conf *conf, struct worker *(*worker_new)(void *arg),
	void (*worker_free)(struct worker *worker), void *arg)
{
	struct lane *lane = mem_alloc(sizeof(*lane));

	lane->conf = conf;
	lane->worker_new = worker_new;
	lane->worker_free = worker_free;
	lane->arg = arg;
	lane->last = &lane->first;
	pthread_mutex_init(&lane->mutex, NULL);
	pthread_cond_init(&lane->filled, NULL);
	lane->n_threads = thread_count(conf);
	lane->threads = mem_array(lane->n_threads, sizeof(*lane->threads));
	start_threads(lane);
	return lane;
}

bool lane_submit(struct lane *lane, struct lane_job *job)
{
	bool accepted;

	job->next = NULL;
	pthread_mutex_lock(&lane->mutex);
	accepted = !lane->stopping && lane->waiting < lane->conf->queue;
	if (accepted) {
		*lane->last = job;
		lane->last = &job->next;
		lane->waiting++;
		pthread_cond_signal(&lane->filled);
	}
	pthread_mutex_unlock(&lane->mutex);
	return accepted;
}

unsigned lane_depth(struct lane *lane)
{
	unsigned depth;

	pthread_mutex_lock(&lane->mutex);
	depth = lane->waiting;
	pthread_mutex_unlock(&lane->mutex);
	return depth;
}

void lane_free(struct lane *lane)
{
	if (!lane)
		return;
	pthread_mutex_lock(&lane->mutex);
	lane->stopping = true;
	pthread_cond_broadcast(&lane->filled);
	pthread_mutex_unlock(&lane->mutex);
	for (unsigned i = 0; i < lane->n_threads; i++)
		pthread_join(lane->threads[i], NULL);
	pthread_cond_destroy(&lane->filled);
	pthread_mutex_destroy(&lane->mutex);
	free(lane->threads);
	free(lane);
}

const char *lane_name(const struct lane *lane)
{
	return lane->conf->name;
}
