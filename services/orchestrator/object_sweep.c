/* SPDX-License-Identifier: Apache-2.0 */
/* Row to `deleted`, then the bytes, then the row: whoever is killed in between leaves something
 * that the next sweep of any copy ends. */
#include "services/orchestrator/object_sweep.h"

#include "services/orchestrator/object_file.h"
#include "services/orchestrator/store.h"

static int expire(struct worker *worker, const struct object *object, struct err *err)
{
	const struct orchestrator_conf *conf = worker->program;

	if (object_file_is_busy(conf, object))
		return 0;
	return store_object_expire(worker->db, object, conf->object_retention_days, err);
}

static int forget(struct worker *worker, const struct object *object, struct err *err)
{
	if (object_file_remove(worker->program, object, err) < 0)
		return -1;
	return store_object_forget(worker->db, object, err);
}

typedef int batch_list(struct db *db, struct arena *arena, struct object **ret_objects,
	size_t *ret_count, struct err *err);
typedef int batch_step(struct worker *worker, const struct object *object, struct err *err);

/* Until the list is empty: each step takes its object off it. */
static int each(struct worker *worker, batch_list *list, batch_step *step, struct err *err)
{
	size_t count;

	do {
		auto_arena struct arena *arena = arena_new();
		struct object *objects;

		if (list(worker->db, arena, &objects, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			if (step(worker, &objects[i], err) < 0)
				return -1;
		}
	} while (count > 0);
	return 0;
}

int object_sweep(struct worker *worker, struct err *err)
{
	if (each(worker, store_objects_due, expire, err) < 0)
		return -1;
	return each(worker, store_objects_deleted, forget, err);
}
