/* SPDX-License-Identifier: Apache-2.0 */
/* The table of uses.h. */
#include "services/registry-gw/uses.h"

#include <stdio.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/service.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/store_image.h"

#define PROBES 16u

void uses_init(struct uses *uses)
{
	pthread_mutex_init(&uses->lock, NULL);
}

/* FNV-1a over an id that we made. */
static size_t hash_of(const char *text)
{
	unsigned long long hash = 14695981039346656037ull;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211ull;
	return (size_t)hash;
}

void uses_note(struct uses *uses, const char *image_id)
{
	size_t first = hash_of(image_id);

	pthread_mutex_lock(&uses->lock);
	for (size_t i = 0; i < PROBES; i++) {
		char *slot = uses->ids[(first + i) % USES_MAX];

		if (strcmp(slot, image_id) == 0)
			break;
		if (!*slot) {
			snprintf(slot, ID_SIZE, "%s", image_id);
			uses->count++;
			break;
		}
	}
	pthread_mutex_unlock(&uses->lock);
}

static int take_all(struct uses *uses, struct buf *ids, struct err *err)
{
	int result = 0;

	pthread_mutex_lock(&uses->lock);
	for (size_t i = 0; i < USES_MAX && uses->count > 0 && result == 0; i++) {
		if (!*uses->ids[i])
			continue;
		result = buf_printf(ids, err, "%s%s", ids->len > 0 ? "," : "", uses->ids[i]);
		*uses->ids[i] = '\0';
		uses->count--;
	}
	pthread_mutex_unlock(&uses->lock);
	return result;
}

int uses_beat(struct worker *worker, struct err *err)
{
	struct registry_conf *conf = worker->program;
	auto_buf ids = BUF_INIT((USES_MAX + 1) * (ID_SIZE + 1));

	if (take_all(&conf->uses, &ids, err) < 0)
		return -1;
	if (ids.len == 0)
		return 0;
	return store_images_used(worker->db, (const char *)ids.data, err);
}
