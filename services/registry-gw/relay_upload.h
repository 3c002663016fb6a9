/* SPDX-License-Identifier: Apache-2.0 */
/* The streamed routes of upload sessions. */
#ifndef REGISTRY_GW_RELAY_UPLOAD_H
#define REGISTRY_GW_RELAY_UPLOAD_H

#include "lib/web_stream.h"

extern const struct web_stream_ops relay_upload_post, relay_upload_patch, relay_upload_put;

#endif
