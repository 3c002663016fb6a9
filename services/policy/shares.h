/* SPDX-License-Identifier: Apache-2.0 */
/* Shares: a tenant shows one of its things to the members of a space, until it takes that back. The
 * route names the kind (`.of`), the path's first parameter the thing, the second the share. */
#ifndef POLICY_SHARES_H
#define POLICY_SHARES_H

#include "services/policy/record.h"

web_handler share_create; /* share.wrong_space, share.exists */
web_handler share_list;
web_handler share_delete; /* share.not_found */

#endif
