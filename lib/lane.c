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

static struct lane_job *take_job(struct lane *lane)
{
	struct lane_job *job;

	pthread_mutex_lock(&lane->mutex);
	while (!lane->first && !lane->stopping)
		pthread_cond_wait(&lane->filled, &lane->mutex);
	job = lane->first;
	if (job) {
		lane->first = job->next;
		if (!lane->first)
			lane->last = &lane->first;
		lane->waiting--;
	}
	pthread_mutex_unlock(&lane->mutex);
	return job;
}

static void *work(void *arg)
{
	struct lane *lane = arg;
	struct worker *worker = lane->worker_new(lane->arg);
	struct lane_job *job;

	while ((job = take_job(lane)))
		job->run(job, worker);
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
