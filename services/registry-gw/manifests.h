/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests by tag or digest: exact bytes in and out, checked on the way in. */
#ifndef REGISTRY_GW_MANIFESTS_H
#define REGISTRY_GW_MANIFESTS_H

#include "lib/web.h"

#define MANIFEST_MAX_BYTES (4u * 1024u * 1024u)

web_handler manifest_show, manifest_put, manifest_delete;

#endif
