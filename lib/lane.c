/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes of lane.h: one mutex, one queue, threads that each own a worker. */
#include "lib/lane.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/mem.h"

/* A place for a thread. All but the first two is under the lane's mutex. */
struct lane_thread {
	struct lane *lane;
	pthread_t thread;
	bool is_started; /* to be joined */
	bool is_over;	 /* it has nothing more to do */
	bool is_coming;	 /* it was added, and has not looked at the queue yet */
	bool is_busy;
	unsigned caller; /* whom it works for */
};

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
	unsigned n_idle; /* threads that nobody has woken */
	bool waking;	 /* one is on its way */
	bool stopping;
	unsigned n_kept; /* threads that wait for work; more are added, and end without it */
	unsigned n_live;
	unsigned n_busy;
	unsigned n_threads; /* places */
	struct lane_thread *threads;
};

static unsigned busy_for(const struct lane *lane, unsigned caller)
{
	unsigned count = 0;

	for (unsigned i = 0; i < lane->n_threads; i++)
		count += lane->threads[i].is_busy && lane->threads[i].caller == caller;
	return count;
}

/* Whether the job's caller has as many threads as he may: one, while those that are kept are all
 * busy. */
static bool is_held(const struct lane *lane, const struct lane_job *job)
{
	unsigned count;

	if (!lane->conf->of_caller || !job->caller)
		return false;
	count = busy_for(lane, job->caller);
	return count >= (lane->n_busy < lane->n_kept ? lane->conf->of_caller : 1);
}

/* The link to the first job that may be run now, or NULL. */
static struct lane_job **find_due(struct lane *lane)
{
	for (struct lane_job **at = &lane->first; *at; at = &(*at)->next)
		if (!is_held(lane, *at))
			return at;
	return NULL;
}

/* Cuts that job out of the queue, with those that join it. */
static struct lane_job *cut(struct lane *lane, struct lane_job **at)
{
	struct lane_job *first = *at, *last = first;
	unsigned count = 1;

	while (first->joins && last->next && last->next->joins && last->next->run == first->run &&
		count < LANE_MAX_JOINED) {
		last = last->next;
		count++;
	}
	*at = last->next;
	last->next = NULL;
	if (!*at)
		lane->last = at;
	lane->waiting -= count;
	return first;
}

/* Whether one waits for whom no thread works, where nobody has to wait for others. */
static bool has_starved(const struct lane *lane)
{
	for (const struct lane_job *job = lane->first; lane->conf->of_caller && job;
		job = job->next)
		if (busy_for(lane, job->caller) == 0)
			return true;
	return false;
}

static void *work(void *arg);

/* Signals stay with the main thread. */
static bool start_thread(struct lane_thread *thread)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	thread->is_started = pthread_create(&thread->thread, NULL, work, thread) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	thread->lane->n_live += thread->is_started;
	return thread->is_started;
}

/* Beside those that are kept; when there are too many, what waits goes on waiting. */
static void add_thread(struct lane *lane)
{
	struct lane_thread *thread = NULL;

	for (unsigned i = 0; i < lane->n_threads && !thread; i++)
		if (!lane->threads[i].is_started || lane->threads[i].is_over)
			thread = &lane->threads[i];
	if (!thread || lane->stopping || lane->n_live >= LANE_MAX_THREADS)
		return;
	if (thread->is_started)
		pthread_join(thread->thread, NULL);
	*thread = (struct lane_thread) { .lane = lane, .is_coming = true };
	lane->waking = start_thread(thread);
}

/* Whether a thread is to be woken, by the caller and without the mutex, which the woken one needs;
 * one that is added needs no waking. Who is on his way takes what joins along: a second one would
 * halve the group. */
static bool needs_waking(struct lane *lane)
{
	if (lane->waking)
		return false;
	if (lane->n_idle > 0)
		return lane->waking = find_due(lane) != NULL;
	if (has_starved(lane))
		add_thread(lane);
	return false;
}

static void set_busy(struct lane_thread *thread, const struct lane_job *jobs)
{
	thread->lane->n_busy -= thread->is_busy;
	thread->is_busy = jobs != NULL;
	thread->caller = jobs ? jobs->caller : 0;
	thread->lane->n_busy += thread->is_busy;
}

/* NULL: the lane stops, and what is left is for a thread that works for the same caller; or this
 * one was added, and is no longer needed. */
static struct lane_job *take_jobs(struct lane_thread *thread)
{
	struct lane *lane = thread->lane;
	struct lane_job *jobs, **at;
	bool wakes;

	pthread_mutex_lock(&lane->mutex);
	set_busy(thread, NULL);
	lane->waking &= !thread->is_coming;
	thread->is_coming = false;
	while (!(at = find_due(lane)) && !lane->stopping && lane->n_live <= lane->n_kept) {
		lane->n_idle++;
		pthread_cond_wait(&lane->filled, &lane->mutex);
		lane->n_idle--;
		lane->waking = false;
	}
	jobs = at ? cut(lane, at) : NULL;
	set_busy(thread, jobs);
	lane->n_live -= !jobs;
	wakes = needs_waking(lane);
	pthread_mutex_unlock(&lane->mutex);
	if (wakes)
		pthread_cond_signal(&lane->filled);
	return jobs;
}

static void *work(void *arg)
{
	struct lane_thread *thread = arg;
	struct lane *lane = thread->lane;
	struct worker *worker = lane->worker_new(lane->arg);
	struct lane_job *jobs;

	while ((jobs = take_jobs(thread)))
		jobs->run(jobs, worker);
	lane->worker_free(worker);
	pthread_mutex_lock(&lane->mutex);
	thread->is_over = true; /* joining it takes no time now */
	pthread_mutex_unlock(&lane->mutex);
	return NULL;
}

static unsigned thread_count(const struct lane_conf *conf)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (conf->threads)
		return conf->threads;
	return cores > 0 ? (unsigned)cores : 1;
}

static void start_threads(struct lane *lane)
{
	pthread_mutex_lock(&lane->mutex);
	for (unsigned i = 0; i < lane->n_kept; i++) {
		lane->threads[i].lane = lane;
		if (!start_thread(&lane->threads[i])) {
			fputs("level=error msg=\"cannot start a lane's thread\"\n", stderr);
			abort();
		}
	}
	pthread_mutex_unlock(&lane->mutex);
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
	lane->n_kept = lane->n_threads = thread_count(conf);
	if (conf->of_caller)
		lane->n_threads += 2 * LANE_MAX_THREADS; /* some are about to end */
	lane->threads = mem_array(lane->n_threads, sizeof(*lane->threads));
	start_threads(lane);
	return lane;
}

/* A queue that others filled has room for one who has nothing in it. */
static bool has_room(const struct lane *lane, const struct lane_job *job)
{
	unsigned count = 0, queue = lane->conf->queue;

	if (lane->stopping)
		return false;
	if (!lane->conf->of_caller)
		return lane->waiting < queue;
	for (const struct lane_job *one = lane->first; one; one = one->next)
		count += one->caller == job->caller;
	return count == 0 || (count < queue / 2 && lane->waiting < queue);
}

bool lane_submit(struct lane *lane, struct lane_job *job)
{
	bool accepted;

	job->next = NULL;
	pthread_mutex_lock(&lane->mutex);
	accepted = has_room(lane, job);
	if (accepted) {
		*lane->last = job;
		lane->last = &job->next;
		lane->waiting++;
	}
	pthread_mutex_unlock(&lane->mutex);
	return accepted;
}

void lane_wake(struct lane *lane)
{
	bool wakes;

	pthread_mutex_lock(&lane->mutex);
	wakes = needs_waking(lane);
	pthread_mutex_unlock(&lane->mutex);
	if (wakes)
		pthread_cond_signal(&lane->filled);
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
		if (lane->threads[i].is_started)
			pthread_join(lane->threads[i].thread, NULL);
	pthread_cond_destroy(&lane->filled);
	pthread_mutex_destroy(&lane->mutex);
	free(lane->threads);
	free(lane);
}

const char *lane_name(const struct lane *lane)
{
	return lane->conf->name;
}

bool lane_asks_caller(const struct lane *lane)
{
	return lane->conf->of_caller > 0;
}
