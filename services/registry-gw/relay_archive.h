/* SPDX-License-Identifier: Apache-2.0 */
/* The streamed route of archive.h. */
#ifndef REGISTRY_GW_RELAY_ARCHIVE_H
#define REGISTRY_GW_RELAY_ARCHIVE_H

#include "lib/web_stream.h"

extern const struct web_stream_ops relay_archive;

#endif
