/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of security decisions: who did what on what, and how it ended. A record is one row of
 * the service's own `audit_outbox`, written in the transaction of what it tells of; certreg takes
 * the rows of all services over into the log (services/certreg/audit_append.c). What happens too
 * often to be told one by one (refusals, issued tokens) is told so many times and then counted.
 * Who and under which request comes from the request whose statements the database runs.
 */
#ifndef STRONGROOM_AUDIT_H
#define STRONGROOM_AUDIT_H

#include <jansson.h>

#include "lib/db.h"
#include "lib/err.h"

struct audit; /* what was counted and not yet told; internally synchronised */
struct web_req;
struct worker;

#define AUDIT_VERSION "strongroom-audit-1"
/* Where what is no tenant's own is told: the id of the tenant `system` of every instance. */
#define AUDIT_INSTANCE "tnt_00000000000000000000000000000000"

/* Members that are NULL come from the caller: a member's token, a sandbox's, none in a loop. */
struct audit_act {
	const char *action; /* "key.create", or the verb alone when `on` is an id of ours */
	const char *on;	    /* what it was done to: an id, a name; cut at 200 bytes */
	const char *detail; /* a few more words, or NULL; no text of others */
	const char *code;   /* why it was refused; NULL: it was granted */
	const char *space;
	const char *subject, *credential, *roles;
};

/* Inside db_tx() of a statement that changes something: the record travels with COMMIT. */
void audit(struct db *db, const struct audit_act *act);
/* db_run() of one changing statement in a tenant's scope, with its record when it changed a row.
 * Returns how many rows it changed. */
int audit_run(struct db *db, const struct db_scope *scope, const struct sql *sql,
	const char *const *params, int n_params, const struct audit_act *act, struct err *err)
	__attribute__((warn_unused_result));

/* --- what comes often --- */

struct audit *audit_new(void);
void audit_free(struct audit *audit);

/* The first `each` of a window are told at once, the others as one record with their number at its
 * end. Alike are acts of one tenant, subject, credential, action and code, and on the same thing
 * unless they are refusals. A failure is logged. */
void audit_often(struct worker *worker, const char *tenant, const struct audit_act *act,
	unsigned each, long window_s);
/* Tells of a request that was refused; other failures pass by. */
void audit_refused(const struct web_req *req, const struct err *err);
/* Writes what windows that are over left to tell; `all`: also the others. */
int audit_flush(struct worker *worker, bool all, struct err *err);

/* --- handing over --- */

/* Deletes the rows that were taken over (an int8multirange of their ids, "{}" at first) and reads
 * the oldest of the rest: [{"id","record"}]. */
int audit_feed(struct db *db, const char *taken, json_t **ret_rows, struct err *err);
#define AUDIT_FEED_ROWS 500

/* audit.c for audit_often.c: one row by itself; the key or certificate behind a token, or NULL. */
struct principal;
const char *audit_credential(const struct principal *who);
int audit_write(struct db *db, const char *tenant, const struct audit_act *act, unsigned long count,
	struct err *err);

#endif
