/* SPDX-License-Identifier: Apache-2.0 */
/* Other key packets for an image whose bytes stay what they are: the client wraps the layers' keys
 * anew, the gateway puts the new manifest in the old one's place, of an index with those that it
 * names, in one transaction. */
#ifndef REGISTRY_GW_REWRAP_H
#define REGISTRY_GW_REWRAP_H

#include <jansson.h>

#include "lib/web.h"

#define REWRAP_MAX_BYTES (6u * 1024 * 1024) /* manifests in base64, and tags */

web_handler image_rewrap;

/* Whether two manifests differ in key packets of encrypted layers and nothing else, two indexes in
 * the digests and sizes of what they name. image.rewrap names the layer. */
int rewrap_check(const json_t *before, const json_t *after, struct err *err);

#endif
