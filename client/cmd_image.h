/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of `strongroom image`, which stand in three files. */
#ifndef STRONGROOM_CLIENT_CMD_IMAGE_H
#define STRONGROOM_CLIENT_CMD_IMAGE_H

#include "client/image_remote.h"
#include "client/session.h"

/* cmd_image_registry.c */
int image_push_verb(struct session *session, const struct cli *cli, struct err *err);
int image_pull_verb(struct session *session, const struct cli *cli, struct err *err);
int image_list_verb(struct session *session, const struct cli *cli, struct err *err);
int image_show_verb(struct session *session, const struct cli *cli, struct err *err);
int image_delete_verb(struct session *session, const struct cli *cli, struct err *err);

/* A connection to the repository of a reference. */
int image_open_remote(struct session *session, const struct cli *cli, const struct image_ref *ref,
	const char *actions, const char *session_file, struct image_remote **ret_remote,
	struct err *err) __attribute__((warn_unused_result));
/* The registry's record of an image (GET /v1/images). client.not_found */
int image_find_record(struct session *session, const struct image_ref *ref, json_t **ret_record,
	struct err *err) __attribute__((warn_unused_result));

/* cmd_image_rewrap.c */
int image_rewrap_verb(struct session *session, const struct cli *cli, struct err *err);
int image_reencrypt_verb(struct session *session, const struct cli *cli, struct err *err);

#endif
