/* SPDX-License-Identifier: Apache-2.0 */
/* Images as the API shows them: one for each manifest and index that is stored. */
#ifndef REGISTRY_GW_IMAGES_H
#define REGISTRY_GW_IMAGES_H

#include "services/registry-gw/access.h"

web_handler image_list, image_delete;

#endif
