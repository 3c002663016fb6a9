/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every database call of the orchestrator. A run's state changes in one place only:
 * store_run_change(), guarded by the state and fence that the caller saw, with its event in the
 * same transaction.
 */
#ifndef ORCHESTRATOR_STORE_H
#define ORCHESTRATOR_STORE_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/resource.h"
#include "lib/service.h"

/* A run's row; texts live in the arena given to store_run_get(). */
struct run {
	const char *tenant, *space, *id, *pipeline, *policy_hash, *repository, *manifest, *inputs;
	const char *sandbox, *order, *run_nonce, *state, *step, *created_by;
	const char *failure_code, *failure_detail, *awaiting, *egress;
	const char *output_object, *output_digest, *receipt;
	const char *created_at, *updated_at, *ended_at;
	long long deadline, boot, fence, output_size, revision, event_seq, max_runs;
};

bool run_is_final(const char *state);

/* run.max_runs, run.order_used, run.sandbox_busy */
int store_run_add(struct web_req *req, const struct run *run, struct err *err);
/* db.unique as the code that it means: the order's other run, or the sandbox's, which is named.
 * Returns -1. */
int store_run_taken(struct db *db, const char *tenant, const char *sandbox, struct err *err);
/* run.not_found */
int store_run_get(struct db *db, struct arena *arena, const char *tenant, const char *id,
	struct run *ret_run, struct err *err);
/* The same for reading: also another tenant's in one of the caller's spaces. */
int store_run_read(struct web_req *req, const char *id, struct run *ret_run, struct err *err);
struct run_filter {
	const char *state, *order; /* or NULL */
};
int store_run_list(struct web_req *req, const struct page *page, const struct run_filter *filter,
	json_t **ret_list, struct err *err);
int store_run_steps(struct db *db, const struct run *run, json_t **ret_steps, struct err *err);
int store_run_events(struct db *db, const struct run *run, long long after, json_t **ret_events,
	struct err *err);

struct run_change {
	const char *to;
	bool raise_fence;
	long long boot; /* 0: as it is */
	const char *failure_code, *failure_detail;
	const char *awaiting; /* with to "awaiting_grants": whose grants, as JSON, or NULL */
	/* With to "queued": the order that takes over. */
	const char *order, *run_nonce, *sandbox;
	/* With to "succeeded". */
	const char *output_object, *output_digest, *receipt;
	long long output_size;
};
/* run.stale (409) when the row is no longer as `run` says. */
int store_run_change(
	struct db *db, const struct run *run, const struct run_change *change, struct err *err);

struct run_report {
	const char *step, *state, *detail;
	long long fence, seq;
};
/* Idempotent by (run, fence, seq). run.stale_fence. */
int store_run_report(struct db *db, const char *tenant, const char *id,
	const struct run_report *report, struct err *err);

/* The run that this sandbox may work on now: *ret_id NULL when there is none. */
int store_run_of_sandbox(struct db *db, struct arena *arena, const char *tenant,
	const char *sandbox, const char **ret_id, struct err *err);
extern const struct sql *const store_claim, *const store_release; /* of struct steps */
/* Every run that waits for grants is due, across tenants. */
int store_sweep_waiting(struct db *db, struct err *err);
/* The tenant and run of a sandbox, across tenants. */
int store_sweep_sandbox(struct db *db, struct arena *arena, const char *sandbox,
	struct run *ret_key, struct err *err);

/* Before a sandbox reaches a target: a row for the two, and an audit record when it is the first
 * time. */
int store_egress_begin(struct db *db, const struct run *run, const char *target, struct err *err);
struct egress_count {
	const char *tenant, *run, *target;
	long long bytes_in, bytes_out; /* since the last time */
	bool is_new;		       /* another connection */
};
int store_egress_add(struct db *db, const struct egress_count *count, struct err *err);
/* Whether the run still runs under that fence. */
int store_run_holds(struct db *db, const char *tenant, const char *id, long long fence,
	bool *ret_holds, struct err *err);

struct object {
	const char *tenant, *space, *id, *role, *run, *state, *digest, *created_by, *created_at;
	const char *due_at; /* as Postgres writes it */
	long long fence, size, revision;
};
int store_object_add(
	struct web_req *req, const struct object *object, const char *route, struct err *err);
/* object.not_found */
int store_object_get(struct db *db, struct arena *arena, const struct db_scope *scope,
	const char *id, struct object *ret_object, struct err *err);
/* Before bytes come: the object counts as `size` bytes in the tenant's usage, or object.quota. */
int store_object_reserve(struct db *db, const struct object *object, long long size,
	long long quota, struct err *err);
/* The file's size became `size`: the tenant's usage follows. */
int store_object_resize(
	struct db *db, const struct object *object, long long size, struct err *err);
int store_object_close(struct db *db, const struct object *object, const char *digest,
	long long size, struct err *err);
int store_object_delete(struct db *db, const struct object *object, struct err *err);

/* Retention, across tenants; of the objects tenant, id and due_at are filled. */
extern const struct sql *const store_forgets[]; /* of struct service */
/* Up to 100 that are due, put off by a day: so each is looked at by one copy. */
int store_objects_due(struct db *db, struct arena *arena, struct object **ret_objects,
	size_t *ret_count, struct err *err);
/* Deletes the row unless somebody needs the object or wrote to it since. `days` is the
 * configuration's. */
int store_object_expire(struct db *db, const struct object *object, long days, struct err *err);
/* Up to 100 that are deleted; and one of them forgotten, when its bytes are gone. */
int store_objects_deleted(struct db *db, struct arena *arena, struct object **ret_objects,
	size_t *ret_count, struct err *err);
int store_object_forget(struct db *db, const struct object *object, struct err *err);

#endif
