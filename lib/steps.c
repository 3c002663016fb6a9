/* SPDX-License-Identifier: Apache-2.0 */
/* Claim, step, release, until nothing is due. */
#include "lib/steps.h"

#include <stdbool.h>
#include <string.h>

#include "lib/db.h"
#include "lib/log.h"
#include "lib/service.h"

static int claim(struct db *db, const struct sql *sql, struct arena *arena,
	struct step_due *ret_due, bool *ret_found, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_SWEEP, sql, DB_NO_PARAMS, &rows, err) < 0)
		return -1;
	*ret_found = db_count(rows) > 0;
	if (*ret_found)
		*ret_due = (struct step_due) { db_text_in(rows, 0, "tenant_id", arena),
			db_text_in(rows, 0, "id", arena), db_text_in(rows, 0, "lease", arena) };
	return 0;
}

static const struct step *find(const struct step *table, const char *state)
{
	while (table->state && strcmp(table->state, state) != 0)
		table++;
	return table->state ? table : NULL;
}

/* Milliseconds until the next look. What a step asks for itself is told to the loop as well. */
static long long go(const struct steps *steps, struct worker *worker, const struct step *step,
	const void *row, int *soonest_ms)
{
	struct err err = { .kind = ERR_NONE };
	int r;

	if (!step)
		return steps->retry_ms;
	r = step->take(worker, row, &err);
	if (r < 0) {
		log_failure("a step failed and is repeated", &err);
		return steps->retry_ms;
	}
	if (r > 0 && (*soonest_ms == 0 || r < *soonest_ms))
		*soonest_ms = r;
	return r > 0 ? r : step->again_ms;
}

static int take(const struct steps *steps, struct worker *worker, struct arena *arena,
	const struct step_due *due, int *soonest_ms, struct err *err)
{
	const char *state = NULL;
	const void *row = steps->load(worker, arena, due, &state, err);
	long long again_ms;

	if (!row)
		return -1;
	again_ms = go(steps, worker, find(steps->table, state), row, soonest_ms);
	return db_run(worker->db, DB_TENANT(due->tenant), steps->release,
		DB_PARAMS(due->tenant, due->id, due->lease, DB_NUMBER(again_ms)), NULL, err);
}

int steps_run(const struct steps *steps, struct worker *worker, struct err *err)
{
	int soonest_ms = 0;
	bool found;

	do {
		auto_arena struct arena *arena = arena_new();
		struct step_due due;

		if (claim(worker->db, steps->claim, arena, &due, &found, err) < 0)
			return -1;
		if (found && take(steps, worker, arena, &due, &soonest_ms, err) < 0)
			return err_wrap(err, "%s '%s'", steps->noun, due.id);
	} while (found);
	return soonest_ms;
}
