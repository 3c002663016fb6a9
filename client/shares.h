/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs share, unshare and shares of any kind of record: what the second argument calls, with
 * the space that --space calls. */
#ifndef STRONGROOM_CLIENT_SHARES_H
#define STRONGROOM_CLIENT_SHARES_H

#include "client/session.h"

#define SHARES_OPTION                                                                              \
	{                                                                                          \
		"space", "NAME", "share, unshare, list: the space whose members see it"            \
	}

int shares_add(struct session *session, const struct cli *cli, const struct collection *kind,
	struct err *err) __attribute__((warn_unused_result));
int shares_remove(struct session *session, const struct cli *cli, const struct collection *kind,
	struct err *err) __attribute__((warn_unused_result));
int shares_list(struct session *session, const struct cli *cli, const struct collection *kind,
	struct err *err) __attribute__((warn_unused_result));

/* The id of --space, by name or id; NULL without the option. The caller frees. */
int shares_space(struct session *session, const struct cli *cli, char **ret_space, struct err *err)
	__attribute__((warn_unused_result));

#endif
