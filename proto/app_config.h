/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime of an application: its config files, labels, zone CAs and the place it has in a
 * workflow. APPCONFIG_ID is the hash by which the second way in names it: SHA-256 over the compact
 * JSON of the runtime in the field order of its makers, maps and sets in byte order, what is absent
 * left out. It is a label, not an authority: what authorises is a grant to a policy's hash.
 */
#ifndef STRONGROOM_APP_CONFIG_H
#define STRONGROOM_APP_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

#define APP_CONFIG_ID_SIZE 65 /* 64 hex digits and the NUL */
#define APP_CONFIG_ROOT "/opt/fortanix/enclave-os/app-config"
#define APP_CONFIG_RW APP_CONFIG_ROOT "/rw"
#define APP_CONFIG_MAX_FILES 64
#define APP_CONFIG_MAX_FILE (256u << 10)  /* bytes of one file */
#define APP_CONFIG_MAX_TOTAL (512u << 10) /* bytes of all files together */

/* `runtime` is {app_config, labels, zone_ca, workflow?}. Code app_config.invalid. */
int app_config_id(const json_t *runtime, char ret_id[APP_CONFIG_ID_SIZE], struct err *err);

/* {path: {"contents": base64}}: every path is absolute, below APP_CONFIG_RW and outside what is
 * written there beside the files (ports, app-config.json); no file lies below another one. Codes
 * app_config.invalid, app_config.path, app_config.too_large. */
int app_config_check_files(const json_t *files, struct err *err);

/* What a policy may hold: app_config_id() and app_config_check_files() both go through. */
int app_config_check(const json_t *runtime, struct err *err);

/* The part of a config file's path behind APP_CONFIG_RW and its slash; NULL where there is none. */
const char *app_config_below_rw(const char *path);

#endif
