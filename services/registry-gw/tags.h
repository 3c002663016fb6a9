/* SPDX-License-Identifier: Apache-2.0 */
/* The tags of a repository, in pages. */
#ifndef REGISTRY_GW_TAGS_H
#define REGISTRY_GW_TAGS_H

#include "lib/web.h"

web_handler tag_list;

#endif
