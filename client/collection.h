/* SPDX-License-Identifier: Apache-2.0 */
/* What the server keeps lists of, in one table: where each is, how its records are found by name,
 * what a list shows, and the verbs that are the same for all. */
#ifndef STRONGROOM_CLIENT_COLLECTION_H
#define STRONGROOM_CLIENT_COLLECTION_H

#include <jansson.h>

#include "lib/err.h"

struct api;
struct cli;
struct session;

struct collection {
	const char *audience, *path, *prefix; /* of their ids */
	const char *const *columns; /* ends with NULL; "build.status" is a member's member */
};

extern const struct collection collection_apps, collection_app_configs, collection_datasets,
	collection_invitations, collection_keys, collection_members, collection_policies,
	collection_projections, collection_sandboxes, collection_spaces, collection_templates,
	collection_tenants, collection_workflows;

/* The record that is called so: by id, or by name from the list. The error of a missing one is the
 * server's, or client.not_found. */
int collection_find(struct api *api, const struct collection *kind, const char *called,
	json_t **ret_record, struct err *err);
int session_find(struct session *session, const struct collection *kind, const char *called,
	json_t **ret_record, struct err *err);

/* DELETE of the record that the second argument calls, or POST of an action on it (":suspend"). */
int session_act(struct session *session, const struct cli *cli, const struct collection *kind,
	const char *action, struct err *err);

/* PUT of a record that was found, or of a part of it ("/credentials"), under its etag. New
 * reference in *ret_answer. */
int session_replace(struct session *session, const struct collection *kind, const json_t *record,
	const char *part, const json_t *body, json_t **ret_answer, struct err *err);

/* A verb on records of one kind. */
typedef int collection_verb(struct session *session, const struct cli *cli,
	const struct collection *kind, struct err *err);
/* The verbs list, show, delete, remove, revoke, share, unshare and shares; NULL for others. */
collection_verb *collection_verb_named(const char *name);

#endif
