/* SPDX-License-Identifier: Apache-2.0 */
/* /v2/: whether somebody is logged in; and whatever else lies below it, which is nothing. */
#ifndef REGISTRY_GW_VERSION_H
#define REGISTRY_GW_VERSION_H

#include "lib/web.h"

web_handler version_show, version_none;

#endif
