/* SPDX-License-Identifier: Apache-2.0 */
/* What refers to a manifest by its `subject`. */
#ifndef REGISTRY_GW_REFERRERS_H
#define REGISTRY_GW_REFERRERS_H

#include "lib/web.h"

web_handler referrer_list;

#endif
