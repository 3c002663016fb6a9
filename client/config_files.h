/* SPDX-License-Identifier: Apache-2.0 */
/* A folder as the config files of an application. */
#ifndef STRONGROOM_CLIENT_CONFIG_FILES_H
#define STRONGROOM_CLIENT_CONFIG_FILES_H

#include <jansson.h>

#include "lib/err.h"

/* {"<APP_CONFIG_RW>/<name>":{"contents":base64}} of every file below the folder. Links and other
 * than files and folders are refused (files.kind), and what app_config_check_files() refuses. */
int config_files_read(const char *folder, json_t **ret_files, struct err *err);

#endif
