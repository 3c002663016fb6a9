/* SPDX-License-Identifier: Apache-2.0 */
/* What one caller may have of a lane whose work takes as long as callers make it take. */
#include "lib/lane.h"

#include <pthread.h>
#include <unistd.h>

#include "lib/mem.h"
#include "tests/unit/check.h"

#define THREADS 4
#define OF_CALLER 2
#define QUEUE 8
#define CALLERS 24 /* more than there are threads for */

struct worker {
	int unused;
};

/* Begun jobs stay until they are let go. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned begun[CALLERS], most_begun, ended, slow_ones = 1;
static bool may_end;

static struct worker *worker_new(void *arg)
{
	(void)arg;
	return mem_alloc(sizeof(struct worker));
}

static void worker_free(struct worker *worker)
{
	free(worker);
}

static void stay(struct lane_job *job, struct worker *worker)
{
	unsigned caller = job->caller;

	(void)worker;
	pthread_mutex_lock(&mutex);
	begun[caller]++;
	if (caller == 1 && begun[1] > most_begun)
		most_begun = begun[1];
	pthread_cond_broadcast(&changed);
	while (!may_end && caller >= 1 && caller <= slow_ones)
		pthread_cond_wait(&changed, &mutex);
	begun[caller] -= caller == 1;
	ended++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

static void wait_for_begun(unsigned caller, unsigned count)
{
	pthread_mutex_lock(&mutex);
	while (begun[caller] < count)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

static bool submit(struct lane *lane, struct lane_job *job, unsigned caller)
{
	bool accepted;

	*job = (struct lane_job) { .run = stay, .caller = caller };
	accepted = lane_submit(lane, job);
	lane_wake(lane);
	return accepted;
}

static void let_end(void)
{
	pthread_mutex_lock(&mutex);
	may_end = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

/* He waits for himself; others and who is not known yet pass him by; all is done at the end. */
static void test_a_slow_caller(void)
{
	const struct lane_conf conf = { "slow", THREADS, QUEUE, OF_CALLER };
	struct lane *lane = lane_new(&conf, worker_new, worker_free, NULL);
	struct lane_job slow[OF_CALLER + QUEUE], others[6];
	unsigned accepted = 0;

	CHECK(lane_asks_caller(lane));
	for (unsigned i = 0; i < OF_CALLER; i++) {
		CHECK(submit(lane, &slow[accepted++], 1));
		wait_for_begun(1, accepted);
	}
	while (accepted < ARRAY_LEN(slow) && submit(lane, &slow[accepted], 1))
		accepted++;
	CHECK_NUMBER(accepted, OF_CALLER + QUEUE / 2);
	for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
		CHECK(submit(lane, &others[i], i % 2 ? 2 : 0));
		wait_for_begun(i % 2 ? 2 : 0, i / 2 + 1);
	}
	CHECK_NUMBER(lane_depth(lane), QUEUE / 2);
	let_end();
	lane_free(lane);
	CHECK_NUMBER(ended, accepted + ARRAY_LEN(others));
	CHECK_NUMBER(most_begun, OF_CALLER);
}

/* Two hold all threads that are kept, and fill the queue: each other one, and who is not known yet,
 * has a thread at once; one such, and no more than there may be at all. */
static void test_slow_callers_together(void)
{
	const struct lane_conf conf = { "slow", THREADS, QUEUE, OF_CALLER };
	struct lane *lane = lane_new(&conf, worker_new, worker_free, NULL);
	struct lane_job held[2 * QUEUE], unknown, others[CALLERS][3];
	unsigned n_held = 0, accepted, last = 2 + LANE_MAX_THREADS - THREADS;

	slow_ones = CALLERS;
	for (unsigned i = 0; i < THREADS; i++) {
		CHECK(submit(lane, &held[n_held++], 1 + i / OF_CALLER));
		wait_for_begun(1 + i / OF_CALLER, 1 + i % OF_CALLER);
	}
	while (submit(lane, &held[n_held], 1 + n_held % 2))
		n_held++;
	CHECK_NUMBER(n_held, THREADS + QUEUE);
	CHECK(submit(lane, &unknown, 0));
	wait_for_begun(0, 1);
	accepted = n_held + 1;
	for (unsigned caller = 3; caller <= last; caller++, accepted += 2) {
		CHECK(submit(lane, &others[caller][0], caller));
		wait_for_begun(caller, 1);
		CHECK(submit(lane, &others[caller][1], caller));
		CHECK(!submit(lane, &others[caller][2], caller));
	}
	CHECK(submit(lane, &others[last + 1][0], last + 1));
	CHECK_NUMBER(lane_depth(lane), QUEUE + 1 + last - 2);
	for (unsigned caller = 3; caller <= last + 1; caller++)
		CHECK_NUMBER(begun[caller], caller <= last);
	let_end();
	wait_for_begun(last + 1, 1);
	lane_free(lane);
	CHECK_NUMBER(ended, accepted + 1);
}

static void forget(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(begun); i++)
		begun[i] = 0;
	most_begun = ended = 0;
	may_end = false;
}

int main(void)
{
	alarm(60); /* whoever waits for ever was starved */
	test_a_slow_caller();
	forget();
	test_slow_callers_together();
	CHECK_DONE();
}
