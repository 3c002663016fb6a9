/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an upload stands when nobody can tell any more: the registry signs that into the URLs it
 * hands out (`_state`), and after a crash the last one is lost. With its http.secret and the size
 * of the upload's file the same URL is made again (registry.md 1.5).
 */
#ifndef REGISTRY_GW_BACKEND_STATE_H
#define REGISTRY_GW_BACKEND_STATE_H

#include "services/registry-gw/store.h"

/* Fills upload->location and upload->offset with what the registry confirms. upload.not_found: the
 * storage cannot be read from here or knows no such upload; upload.unsettled: it is still being
 * written. */
int backend_state_recover(struct web_req *req, struct upload *upload, struct err *err);

#endif
