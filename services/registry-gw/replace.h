/* SPDX-License-Identifier: Apache-2.0 */
/* One image for another that was pushed by its digest: the new one takes all tags of the old one,
 * which goes, in one transaction. A pusher that dies before has changed nothing. */
#ifndef REGISTRY_GW_REPLACE_H
#define REGISTRY_GW_REPLACE_H

#include "lib/web.h"

#define REPLACE_MAX_BYTES (256u * 1024) /* tags */

web_handler image_replace;

#endif
