/* SPDX-License-Identifier: Apache-2.0 */
/* The streamed route of a blob's bytes. */
#ifndef REGISTRY_GW_RELAY_BLOB_H
#define REGISTRY_GW_RELAY_BLOB_H

#include "lib/web_stream.h"

extern const struct web_stream_ops relay_blob;

#endif
