/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .pbstate: what was done, as ONE JSON document, written tmp + fsync + rename, 0600, under a lock
 * that dies with its process. No secret is ever in it: ids, digests and file names only.
 *   {"v":"strongroom-state-1","tasks":{KEY:{"state":"running"|"done"|"failed"|"spent","attempts":N,"started_at",
 *    "ended_at","inputs":{NAME:digest},"work":{…},"outputs":{…},"files":{PATH:digest},"used":true}},"sandbox":{…},
 *    "run":the last one's id}
 * `work` is what an interrupted task needs to go on: idempotency keys, nonces, ids, an order with
 * its grants (which are encrypted) that is being sent.
 */
#ifndef STRONGROOM_CLIENT_STATE_H
#define STRONGROOM_CLIENT_STATE_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

#define STATE_FILE ".pbstate"
#define REGISTER_FILE ".register"
#define STATE_WHY_SIZE 160
#define STATE_OUTPUT_KEY "output-encrypt-bundle" /* the task whose key is for one run */
#define STATE_PRESENT "present" /* instead of a digest: the file need only be there */

struct state {
	json_t *doc;
	int lock_fd; /* -1: opened for reading only */
};

/* `write`: takes the lock. state.locked, state.invalid. A missing file is an empty state. */
int state_open(struct state *ret_state, bool write, struct err *err)
	__attribute__((warn_unused_result));
void state_close(struct state *state);
int state_save(struct state *state, const char *what, struct err *err)
	__attribute__((warn_unused_result));

json_t *state_task(const struct state *state, const char *key); /* borrowed, NULL if it never ran */
const json_t *state_outputs(const struct state *state, const char *key); /* NULL unless done */

/* Marks the task running. `resume`: keeps work; otherwise work starts empty. Saves. */
int state_begin(
	struct state *state, const char *key, const json_t *inputs, bool resume, struct err *err);
/* Borrowed scratch object of a running task. */
json_t *state_work(struct state *state, const char *key);
int state_finish(
	struct state *state, const char *key, json_t *outputs, json_t *files, struct err *err);
int state_fail(struct state *state, const char *key, const char *code, struct err *err);
/* A finished task whose product may not be used again, e.g. the key of a run that was made. In
 * memory only. */
void state_spend(struct state *state, const char *key, const char *why);
/* What a finished task made has gone into a run: until the task is done again. In memory only. */
void state_use(struct state *state, const char *key);
bool state_is_used(const struct state *state, const char *key);
void state_forget(struct state *state, const char *key);

/* The idempotency key for one request of a task: made and saved before the request is sent, and
 * another one when its body is another. Borrowed. */
const char *state_idempotency(struct state *state, const char *key, const char *request,
	const json_t *body, struct err *err);

enum state_verdict { STATE_SKIP, STATE_RUN, STATE_CHANGED, STATE_RESUME };
/* Pure: what to do with a task whose inputs are now `inputs`. `why` says which input changed, or
 * what is missing. */
enum state_verdict state_decide(
	const json_t *entry, const json_t *inputs, char why[STATE_WHY_SIZE]);

/* .register: {register name: {field: value}} for people and for the original's references. */
int register_load(json_t **ret_register, struct err *err);
int register_set(json_t *reg, const char *name, const json_t *fields, struct err *err);

#endif
