/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A long process (style 2 of ARCHITECTURE.md) as a table of states: rows of a table are claimed one
 * at a time by a lease, taken one step by their state, and given back with the time when they are
 * due again. A step is idempotent: what fails is told and repeated, and a step that outlasts its
 * lease is begun anew by somebody else. The lease's own end is its fence: whoever holds an older
 * one changes nothing any more.
 */
#ifndef STRONGROOM_STEPS_H
#define STRONGROOM_STEPS_H

#include "lib/arena.h"
#include "lib/err.h"

struct sql;
struct worker;

/* A row in hand; texts live in the arena of its step. */
struct step_due {
	const char *tenant, *id;
	const char *lease; /* lease_until, as Postgres writes it */
};

struct step {
	const char *state; /* NULL behind the last */
	/* Positive: as many milliseconds until the next look, instead of again_ms. */
	int (*take)(struct worker *worker, const void *row, struct err *err);
	long long again_ms;
};

struct steps {
	const char *noun; /* for the log */
	/* In the sweep: leases one row that is due; tenant_id, id, lease. */
	const struct sql *claim;
	/* Ends the lease, if it is still that one: tenant, id, lease, milliseconds until the next
	 * look. */
	const struct sql *release;
	/* The row itself and its state, in the arena; NULL with `err`. */
	const void *(*load)(struct worker *worker, struct arena *arena, const struct step_due *due,
		const char **ret_state, struct err *err);
	const struct step *table;
	long long retry_ms; /* behind a step that failed, and in a state that has none */
};

/* Takes every row that is due one step; the `run` of a struct service_loop: positive when a step
 * wants the next look sooner than the others. */
int steps_run(const struct steps *steps, struct worker *worker, struct err *err);

#endif
