/* SPDX-License-Identifier: Apache-2.0 */
/* The set of writers.h behind one mutex, and the loops that keep its leases and its reservations.
 */
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

bool writers_is_over(struct writer *writer)
{
	return atomic_load(&writer->over);
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

/* --- reservations --- */

/* One writer's wish, apart from the writer, who may go at any time. */
struct wish {
	char tenant[ID_SIZE], id[ID_SIZE];
	long long fence, reserved, offset, wanted;
};

static bool take_wish(struct writers *writers, struct wish *ret_wish)
{
	struct writer *writer;
	bool found = false;

	pthread_mutex_lock(&writers->lock);
	LIST_FOREACH(writer, &writers->list, link)
	{
		const struct upload *upload = writer->upload;
		long long granted = atomic_load(&writer->granted);

		found = atomic_load(&writer->wanted) > granted && !atomic_load(&writer->over);
		if (!found)
			continue;
		*ret_wish = (struct wish) {
			.fence = upload->fence,
			.offset = upload->offset,
			.reserved = upload->offset + granted,
			.wanted = upload->offset + atomic_load(&writer->wanted),
		};
		snprintf(ret_wish->tenant, ID_SIZE, "%s", upload->tenant);
		snprintf(ret_wish->id, ID_SIZE, "%s", upload->id);
		break;
	}
	pthread_mutex_unlock(&writers->lock);
	return found;
}

static void tell(struct writers *writers, const struct wish *wish, bool over)
{
	struct writer *writer;

	pthread_mutex_lock(&writers->lock);
	LIST_FOREACH(writer, &writers->list, link)
	{
		if (strcmp(writer->id, wish->id) != 0)
			continue;
		atomic_store(&writer->granted, wish->reserved - wish->offset);
		atomic_store(&writer->over, over);
	}
	pthread_mutex_unlock(&writers->lock);
}

int writers_reserve(struct worker *worker, struct err *err)
{
	struct registry_conf *conf = worker->program;
	struct wish wish;

	while (take_wish(&conf->writers, &wish)) {
		struct upload upload = {
			.tenant = wish.tenant,
			.id = wish.id,
			.fence = wish.fence,
			.reserved = wish.reserved,
		};
		struct err failure = { .kind = ERR_NONE };
		int result = quota_reserve(worker->db, &conf->limits, &upload, wish.reserved + 1,
			wish.wanted, &failure);

		if (result < 0 && strcmp(failure.code, "quota.bytes") != 0) {
			*err = failure;
			return -1;
		}
		wish.reserved = upload.reserved;
		tell(&conf->writers, &wish, result < 0);
	}
	return 0;
}
