/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls of the audit log. */
#ifndef CERTREG_STORE_AUDIT_H
#define CERTREG_STORE_AUDIT_H

#include <jansson.h>

#include "lib/arena.h"
#include "lib/checkpoint.h"
#include "lib/db.h"
#include "lib/resource.h"

/* --- appending: one transaction in the sweep's scope --- */

/* What was taken over last from each service, {service: ranges}. With a lock inside db_tx(). */
int store_audit_taken(struct db *db, json_t **ret_taken, struct err *err);
int store_audit_taken_lock(struct db *db, json_t **ret_taken, struct err *err);
/* The newest head's note, or NULL when there is none; the caller frees. In db_tx(). */
int store_audit_last(struct db *db, char **ret_note, struct err *err);
/* Drops from `rows` those whose record is in the log. In db_tx(). */
int store_audit_drop_known(struct db *db, json_t *rows, struct err *err);
/* Counts the rows to their tenants; {tenant: number of its last record}. In db_tx(). */
int store_audit_count(struct db *db, const json_t *rows, json_t **ret_last, struct err *err);
int store_audit_taken_set(struct db *db, const json_t *taken, struct err *err);
/* Records, nodes, the head, and what was taken. In db_tx(). */
struct store_audit_batch {
	json_t *records, *nodes, *taken;
	unsigned long long size;
	const char *note;
};
int store_audit_append(struct db *db, const struct store_audit_batch *batch, struct err *err);

/* --- reading --- */

/* Fills in the hashes of nodes: audit.damaged when one is not there. In db_tx() or by itself. */
int store_audit_nodes(
	struct db *db, bool in_tx, struct merkle_node *nodes, size_t count, struct err *err);
/* With its cosignatures; audit.no_log before the first one. */
int store_audit_checkpoint(struct db *db, struct arena *arena, const char **ret_note,
	unsigned long long *ret_size, struct err *err);
/* NULL when no head has that size. */
int store_audit_head(struct db *db, unsigned long long size, struct arena *arena,
	const char **ret_note, struct err *err);
int store_audit_cosign(struct db *db, unsigned long long size, const char *witness,
	const char *line, struct err *err);

struct audit_filter {
	const char *action, *who, *on, *outcome, *since; /* NULL: any */
};
int store_audit_list(struct db *db, const char *tenant, const struct audit_filter *filter,
	const struct page *page, json_t **ret_list, struct err *err);

/* Leaves [from, to) in order, and the heads within (from, to]. `salt` and `record` are NULL of what
 * other tenants' leaves hold. */
struct audit_leaf {
	unsigned long long place;
	const char *hash, *salt, *record;
};
typedef int audit_visit_leaf(const struct audit_leaf *leaf, void *arg, struct err *err);
typedef int audit_visit_head(unsigned long long size, const char *note, void *arg, struct err *err);
int store_audit_leaves(struct db *db, const char *tenant, unsigned long long from,
	unsigned long long to, audit_visit_leaf *visit, void *arg, struct err *err);
int store_audit_heads(struct db *db, unsigned long long from, unsigned long long to,
	audit_visit_head *visit, void *arg, struct err *err);
/* The newest head's size, and how many records the tenant has in it. */
int store_audit_end(struct db *db, const char *tenant, unsigned long long *ret_size,
	unsigned long long *ret_records, struct err *err);

#endif
