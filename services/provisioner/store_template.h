/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of `template`: no tenant's, so who may see one is decided by whoever reads it. */
#ifndef PROVISIONER_STORE_TEMPLATE_H
#define PROVISIONER_STORE_TEMPLATE_H

#include "lib/service.h"

/* One version; texts live in the arena given. */
struct template_row {
	const char *id, *state, *document, *created_by, *created_at, *updated_at;
	long long version, revision;
	bool is_built_in;
};

typedef int store_template_row(void *arg, const struct template_row *row, struct err *err);

/* Published ones of that id, or of all (NULL), each id's newest version first. */
int store_template_offered(struct db *db, struct arena *arena, const char *id,
	store_template_row *on_row, void *arg, struct err *err);
/* All versions of that id, the newest first. */
int store_template_versions(struct db *db, struct arena *arena, const char *id,
	store_template_row *on_row, void *arg, struct err *err);
/* template.not_found */
int store_template_get(struct web_req *req, const char *id, long long version,
	struct template_row *ret_row, struct err *err);

/* A draft by the caller; one of these very bytes that is there already counts as made
 * (*ret_made false). template.exists; template.built_in: the id is a file's. */
int store_template_add(
	struct web_req *req, const struct template_row *row, bool *ret_made, struct err *err);
/* Each is guarded by the row's revision and by what it may happen to: template.stale. */
int store_template_replace(
	struct web_req *req, const struct template_row *row, const char *document, struct err *err);
int store_template_delete(struct web_req *req, const struct template_row *row, struct err *err);
int store_template_state(
	struct web_req *req, const struct template_row *row, const char *state, struct err *err);

/* A file's. The first to come says what this version is; template.changed when it was another. */
int store_template_built_in(struct db *db, const struct template_row *row, struct err *err);

#endif
