/* SPDX-License-Identifier: Apache-2.0 */
/* A profile and its connection, for commands that need no project. */
#ifndef STRONGROOM_CLIENT_SESSION_H
#define STRONGROOM_CLIENT_SESSION_H

#include "client/api.h"
#include "client/cli.h"

struct session {
	struct profile profile;
	struct api *api;
};

int session_open(struct session *ret_session, const struct cli *cli, struct err *err);
void session_close(struct session *session);

/* All items of a list, as one line each: the texts of `members` (ends with NULL). */
int session_list(struct session *session, const struct cli *cli, const char *audience,
	const char *path, const char *const *members, struct err *err);
/* GET and print the object. */
int session_show(struct session *session, const struct cli *cli, const char *audience,
	const char *path, struct err *err);
/* A change under a fresh idempotency key; `etag`: from a GET before when NULL is not what the route
 * wants. */
int session_change(struct session *session, const char *audience, const char *method,
	const char *path, const json_t *body, const char *etag, json_t **ret_json, struct err *err);

#endif
