/* SPDX-License-Identifier: Apache-2.0 */
/* Datasets: where encrypted data lies (one of our objects), with its digest, in versions. */
#ifndef POLICY_DATASETS_H
#define POLICY_DATASETS_H

#include "lib/web.h"

web_handler dataset_create;
web_handler dataset_list;
web_handler dataset_update;
web_handler dataset_delete;
web_handler dataset_version_create;
web_handler dataset_version_list;

#endif
