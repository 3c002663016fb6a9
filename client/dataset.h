/* SPDX-License-Identifier: Apache-2.0 */
/* What `strongroom dataset` makes of its options: the record's body, and the secret that is sealed.
 */
#ifndef STRONGROOM_CLIENT_DATASET_H
#define STRONGROOM_CLIENT_DATASET_H

#include "client/session.h"
#include "client/shares.h"

/* Adds to `body` what the command line says. */
int dataset_read_options(struct session *session, const struct cli *cli, json_t *body,
	struct err *err) __attribute__((warn_unused_result));
/* ?space=&label=, or "". The caller frees. */
int dataset_list_query(struct session *session, const struct cli *cli, char **ret_query,
	struct err *err) __attribute__((warn_unused_result));

/* `credentials NAME`: seals what --query-file and --key-file hold, or a new key; with --out or
 * --stdout, opens what is sealed. */
int dataset_credentials_verb(struct session *session, const struct cli *cli, struct err *err)
	__attribute__((warn_unused_result));

#endif
