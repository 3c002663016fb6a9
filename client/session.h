/* SPDX-License-Identifier: Apache-2.0 */
/* A profile and its connection, for commands that need no project. */
#ifndef STRONGROOM_CLIENT_SESSION_H
#define STRONGROOM_CLIENT_SESSION_H

#include "client/api.h"
#include "client/cli.h"
#include "client/collection.h"

struct session {
	struct profile profile;
	struct api *api;
};

int session_open(struct session *ret_session, const struct cli *cli, struct err *err);
void session_close(struct session *session);

/* One verb of a command such as `member`: what it takes behind its name, and what it does. */
struct verb {
	const char *name;
	/* NULL: the collection's verb of this name (collection.h) */
	int (*act)(struct session *session, const struct cli *cli, struct err *err);
	unsigned min_arguments;
	const char *usage; /* of the arguments */
};
/* Runs the verb that the first argument names; the table ends with name NULL. */
int session_verb(
	const struct cli *cli, const char *command, const struct verb *verbs, struct err *err);
/* The same of a command on records of one kind, whose usual verbs are collection.h's. */
int session_verb_of(const struct cli *cli, const char *command, const struct verb *verbs,
	const struct collection *kind, struct err *err);
/* The same for verbs that need neither profile nor server: their `session` is NULL. */
int session_local_verb(
	const struct cli *cli, const char *command, const struct verb *verbs, struct err *err);
bool session_has_verb(const struct verb *verbs, const char *name);

/* All items of a list, as one line each: the texts of `members` (ends with NULL); "build.status" is
 * a member of a member. */
int session_list(struct session *session, const struct cli *cli, const char *audience,
	const char *path, const char *const *members, struct err *err);
/* GET and print the object. */
int session_show(struct session *session, const struct cli *cli, const char *audience,
	const char *path, struct err *err);
char *session_list_text(const json_t *list);		   /* ["a","b"] as a,b; caller frees */
void session_print(const struct cli *cli, json_t *object); /* whole, for people indented */
/* A change under a fresh idempotency key; `etag`: from a GET before, or NULL where the route wants
 * none. */
int session_change(
	struct session *session, const struct api_call *change, json_t **ret_json, struct err *err);
int session_post(struct session *session, const char *audience, const char *path,
	const json_t *body, json_t **ret_json, struct err *err);

#endif
