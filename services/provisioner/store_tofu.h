/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls of the driver tofu. */
#ifndef PROVISIONER_STORE_TOFU_H
#define PROVISIONER_STORE_TOFU_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/db.h"

struct sandbox;

/* The step on the way to what is wanted; texts live in the arena given. */
struct tofu_row {
	const char *goal, *step; /* up, down; init … done, failed */
	const char *running;	 /* what the current run does; NULL: there is none */
	const char *code, *detail, *plan_digest;
	long long boot, run, attempts, wait_ms;
	long long age_ms; /* since the step or its run began */
	bool has_state, is_due;
};

/* Makes it when there is none. */
int store_tofu_row(struct db *db, struct arena *arena, const struct sandbox *sandbox,
	struct tofu_row *ret_row, struct err *err);
/* Both guarded by the run that the caller saw: tofu.not_current. The next run, for that step. */
int store_tofu_begin(struct db *db, const struct sandbox *sandbox, struct tofu_row *row,
	const char *running, struct err *err);
/* All of the row, which is due again in `wait_ms`; no run is under way any more. */
int store_tofu_set(
	struct db *db, const struct sandbox *sandbox, const struct tofu_row *row, struct err *err);
/* Its run lives. */
int store_tofu_beat(struct db *db, const struct sandbox *sandbox, const struct tofu_row *row,
	const char *progress, struct err *err);
int store_tofu_forget(struct db *db, const struct sandbox *sandbox, struct err *err);
/* The time that its guest has begins again. */
int store_tofu_prolong(struct db *db, const struct sandbox *sandbox, struct err *err);

/* Who asks the http backend: one run of one sandbox. */
struct tofu_caller {
	const char *tenant, *sandbox_id;
	long long run;
};

/* The four refuse with tofu.not_current when another run is. */
/* *ret_state NULL when there is none. */
int store_tofu_get(struct db *db, struct arena *arena, const struct tofu_caller *caller,
	long long *ret_serial, const char **ret_state, struct err *err);
/* Only who holds the lock, and nothing older than what is there: tofu.not_the_holder. */
int store_tofu_put(struct db *db, const struct tofu_caller *caller, const char *lock_id,
	long long serial, const char *state, struct err *err);
int store_tofu_delete(struct db *db, const struct tofu_caller *caller, struct err *err);
/* *ret_holder NULL: the lock is the caller's; else who has it, as it said itself. */
int store_tofu_lock(struct db *db, struct arena *arena, const struct tofu_caller *caller,
	const char *lock_id, const char *info, const char **ret_holder, struct err *err);
/* tofu.not_the_holder. */
int store_tofu_unlock(
	struct db *db, const struct tofu_caller *caller, const char *lock_id, struct err *err);

#endif
