/* SPDX-License-Identifier: Apache-2.0 */
/* Who one is with a profile, asked from the server: the end of configure and of accepting. */
#ifndef STRONGROOM_CLIENT_WHO_H
#define STRONGROOM_CLIENT_WHO_H

#include "client/cli.h"

/* Shows address, tenant, member, roles, key and the trust file's hash; `offline`: without asking.
 */
int who_am_i(const struct cli *cli, bool offline, struct err *err)
	__attribute__((warn_unused_result));

#endif
