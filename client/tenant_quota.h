/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom tenant quota [NAME] [--set …]: what a tenant may have of images and sandboxes, and
 * has. Members see their own, operators everybody's, and set limits. */
#ifndef STRONGROOM_CLIENT_TENANT_QUOTA_H
#define STRONGROOM_CLIENT_TENANT_QUOTA_H

#include "client/session.h"

#define TENANT_QUOTA_OPTION                                                                        \
	{                                                                                          \
		"set", "NAME=N,…",                                                                 \
			"quota: limits; bytes take k, m, g or t, 'default' is the configuration's" \
	}

/* A result {"tenant","limits":[{"name","limit","used","by_operator"}]}: a limit that is null is
 * none; `used` is null where nothing is counted. */
int tenant_quota(struct session *session, const struct cli *cli, struct err *err);

#endif
