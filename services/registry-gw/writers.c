/* SPDX-License-Identifier: Apache-2.0 */
/* The set of writers.h behind one mutex, and the loop that keeps its leases. */
#include "services/registry-gw/writers.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/service.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/store.h"

#define MAX_IDS_BYTES (1024u * 1024u)

int writers_init(struct worker *worker, struct err *err)
{
	struct registry_conf *conf = worker->program;

	pthread_mutex_init(&conf->writers.lock, NULL);
	LIST_INIT(&conf->writers.list);
	return store_leases_drop(worker->db, conf->instance, err);
}

void writers_add(struct writers *writers, struct writer *writer)
{
	pthread_mutex_lock(&writers->lock);
	LIST_INSERT_HEAD(&writers->list, writer, link);
	pthread_mutex_unlock(&writers->lock);
}

bool writers_add_few(struct writers *writers, struct writer *writer, unsigned most)
{
	const struct writer *other;
	unsigned count = 0;

	pthread_mutex_lock(&writers->lock);
	LIST_FOREACH(other, &writers->list, link)
	{
		count += strcmp(other->id, writer->id) == 0 &&
			 strcmp(other->principal->tenant, writer->principal->tenant) == 0;
	}
	if (count < most)
		LIST_INSERT_HEAD(&writers->list, writer, link);
	pthread_mutex_unlock(&writers->lock);
	return count < most;
}

void writers_remove(struct writers *writers, struct writer *writer)
{
	pthread_mutex_lock(&writers->lock);
	LIST_REMOVE(writer, link);
	pthread_mutex_unlock(&writers->lock);
}

bool writers_is_revoked(struct writer *writer)
{
	return atomic_load(&writer->revoked);
}

/* An upload may take longer than certreg names what it revoked, so each beat asks. */
static void look_for_revoked(struct auth *auth, struct writers *writers)
{
	struct err err = { .kind = ERR_NONE };
	struct writer *writer = NULL;

	pthread_mutex_lock(&writers->lock);
	LIST_FOREACH(writer, &writers->list, link)
	{
		if (auth_check_revoked(auth, writer->principal, &err) < 0 &&
			err.kind == ERR_UNAUTHENTICATED)
			atomic_store(&writer->revoked, true);
	}
	pthread_mutex_unlock(&writers->lock);
}

static int join(struct writers *writers, struct buf *ids, struct err *err)
{
	const struct writer *writer;
	int result = 0;

	pthread_mutex_lock(&writers->lock);
	LIST_FOREACH(writer, &writers->list, link)
	{
		result = buf_printf(ids, err, "%s%s", ids->len > 0 ? "," : "", writer->id);
		if (result < 0)
			break;
	}
	pthread_mutex_unlock(&writers->lock);
	return result;
}

int writers_beat(struct worker *worker, struct err *err)
{
	struct registry_conf *conf = worker->program;
	auto_buf ids = BUF_INIT(MAX_IDS_BYTES);

	look_for_revoked(worker->auth, &conf->writers);
	if (join(&conf->writers, &ids, err) < 0)
		return -1;
	if (ids.len == 0)
		return 0;
	return store_leases_keep(worker->db, conf->instance, (const char *)ids.data, err);
}
