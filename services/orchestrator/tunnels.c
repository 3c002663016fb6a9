/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of tunnels.h: a list that others only push to, so that the one thread which takes out
 * of it walks it without the mutex.
 */
#include "services/orchestrator/tunnels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/auth.h"
#include "lib/id.h"
#include "lib/mem.h"
#include "services/orchestrator/config.h"

#define TELL_MS 15000 /* how often the counts of one that is open are written */

struct tunnels {
	pthread_mutex_t mutex;
	struct tunnel_use *first; /* the newest */
	unsigned count;
	unsigned round; /* of the watch */
};

struct tunnels *tunnels_new(void)
{
	struct tunnels *tunnels = mem_alloc(sizeof(*tunnels));

	pthread_mutex_init(&tunnels->mutex, NULL);
	return tunnels;
}

static void use_free(struct tunnel_use *use)
{
	close(use->bell);
	free(use->tenant);
	free(use->run);
	free(use->target);
	free(use);
}

void tunnels_free(struct tunnels *tunnels)
{
	if (!tunnels)
		return;
	while (tunnels->first) {
		struct tunnel_use *use = tunnels->first;

		tunnels->first = use->next;
		use_free(use);
	}
	pthread_mutex_destroy(&tunnels->mutex);
	free(tunnels);
}

static bool is_of(const struct tunnel_use *use, const char *run, long long fence)
{
	return use->fence == fence && strcmp(use->run, run) == 0;
}

static unsigned open_of(const struct tunnels *tunnels, const struct run *run)
{
	unsigned count = 0;

	for (struct tunnel_use *use = tunnels->first; use; use = use->next)
		count += !atomic_load(&use->left) && is_of(use, run->id, run->fence);
	return count;
}

static unsigned count_of(const struct tunnels *tunnels, const char *tenant)
{
	unsigned count = 0;

	for (struct tunnel_use *use = tunnels->first; use; use = use->next)
		count += strcmp(use->tenant, tenant) == 0;
	return count;
}

static struct tunnel_use *use_new(struct tunnels *tunnels, const struct run *run,
	const char *target, const struct principal *agent)
{
	struct tunnel_use *use = mem_alloc(sizeof(*use));

	use->tunnels = tunnels;
	use->tenant = mem_strdup(run->tenant);
	use->run = mem_strdup(run->id);
	use->target = mem_strdup(target);
	use->fence = run->fence;
	use->agent = agent;
	use->told_at_ms = clock_monotonic_ms();
	use->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return use;
}

struct tunnel_use *tunnels_enter(struct tunnels *tunnels, const struct run *run, const char *target,
	const struct principal *agent, struct err *err)
{
	struct tunnel_use *use = use_new(tunnels, run, target, agent);
	unsigned has;
	bool fits;

	pthread_mutex_lock(&tunnels->mutex);
	has = count_of(tunnels, run->tenant);
	fits = use->bell >= 0 && has < TUNNELS_OF_TENANT && has < TUNNELS_MAX - tunnels->count &&
	       open_of(tunnels, run) < TUNNELS_OF_RUN;
	if (fits) {
		use->next = tunnels->first;
		tunnels->first = use;
		tunnels->count++;
	}
	pthread_mutex_unlock(&tunnels->mutex);
	if (fits)
		return use;
	use_free(use);
	err_set(err, ERR_LIMITED, "egress.too_many", "as many connections as allowed are open");
	return NULL;
}

void tunnels_leave(struct tunnel_use *use)
{
	struct tunnels *tunnels = use->tunnels;

	pthread_mutex_lock(&tunnels->mutex);
	use->agent = NULL;
	pthread_mutex_unlock(&tunnels->mutex);
	atomic_store(&use->left, true); /* from here on it is the watch's alone */
}

/* --- the watch --- */

/* Whether its counts have waited long enough. */
static bool is_due(const struct tunnel_use *use)
{
	return atomic_load(&use->left) || !use->told ||
	       clock_monotonic_ms() - use->told_at_ms >= TELL_MS;
}

static int tell(struct worker *worker, struct tunnel_use *use, struct err *err)
{
	long long in = atomic_load(&use->bytes_in), out = atomic_load(&use->bytes_out);

	if (!atomic_load(&use->connected) ||
		(use->told && in == use->told_in && out == use->told_out))
		return 0;
	if (store_egress_add(worker->db,
		    &(struct egress_count) { use->tenant, use->run, use->target, in - use->told_in,
			    out - use->told_out, !use->told },
		    err) < 0)
		return -1;
	use->told = true;
	use->told_in = in;
	use->told_out = out;
	use->told_at_ms = clock_monotonic_ms();
	return 0;
}

static void ring(const struct tunnel_use *use)
{
	uint64_t one = 1;

	if (write(use->bell, &one, sizeof(one)) < 0)
		return; /* it was rung often enough */
}

static bool is_revoked(struct worker *worker, struct tunnel_use *use)
{
	struct err err = { .kind = ERR_NONE };
	bool revoked;

	pthread_mutex_lock(&use->tunnels->mutex);
	revoked = use->agent && auth_check_revoked(worker->auth, use->agent, &err) < 0 &&
		  strcmp(err.code, "auth.epoch_stale") != 0;
	pthread_mutex_unlock(&use->tunnels->mutex);
	return revoked;
}

/* Asks once for each run, and rings all its tunnels when it is no longer held. */
static int check_run(struct worker *worker, struct tunnel_use *use, unsigned round, struct err *err)
{
	bool holds;

	if (use->round == round || atomic_load(&use->left))
		return 0;
	if (store_run_holds(worker->db, use->tenant, use->run, use->fence, &holds, err) < 0)
		return -1;
	for (struct tunnel_use *other = use; other; other = other->next) {
		if (!is_of(other, use->run, use->fence))
			continue;
		other->round = round;
		if (!holds || is_revoked(worker, other))
			ring(other);
	}
	return 0;
}

static struct tunnel_use *newest(struct tunnels *tunnels)
{
	struct tunnel_use *use;

	pthread_mutex_lock(&tunnels->mutex);
	use = tunnels->first;
	pthread_mutex_unlock(&tunnels->mutex);
	return use;
}

/* Forgets those that were left and told. */
static void clear(struct tunnels *tunnels)
{
	struct tunnel_use **at = &tunnels->first;

	pthread_mutex_lock(&tunnels->mutex);
	while (*at) {
		struct tunnel_use *use = *at;

		if (!atomic_load(&use->left) || use->told_in != atomic_load(&use->bytes_in) ||
			use->told_out != atomic_load(&use->bytes_out) ||
			use->told != atomic_load(&use->connected)) {
			at = &use->next;
			continue;
		}
		*at = use->next;
		tunnels->count--;
		use_free(use);
	}
	pthread_mutex_unlock(&tunnels->mutex);
}

int tunnels_watch(struct worker *worker, struct err *err)
{
	const struct orchestrator_conf *conf = worker->program;
	struct tunnels *tunnels = conf->tunnels;

	tunnels->round++;
	for (struct tunnel_use *use = newest(tunnels); use; use = use->next) {
		if ((is_due(use) && tell(worker, use, err) < 0) ||
			check_run(worker, use, tunnels->round, err) < 0)
			return -1;
	}
	clear(tunnels);
	return 0;
}

int tunnels_tell_rest(struct worker *worker, struct err *err)
{
	const struct orchestrator_conf *conf = worker->program;

	for (struct tunnel_use *use = newest(conf->tunnels); use; use = use->next) {
		if (tell(worker, use, err) < 0)
			return -1;
	}
	return 0;
}
