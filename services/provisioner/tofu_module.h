/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's module of a template: <templates_dir>/<template>/module/, and tofu.json beside it:
 * {"module": "sha256:…", "resources": ["aws_instance", …]}. The digest pins the module; it is that
 * of what `LC_ALL=C sha256sum *` prints in its folder. A sandbox keeps its copy for its life.
 */
#ifndef PROVISIONER_TOFU_MODULE_H
#define PROVISIONER_TOFU_MODULE_H

#include "services/provisioner/driver.h"

/* Into work/module of the sandbox, unless there is one: tofu.module_changed when it is not the
 * pinned one, tofu.bad_settings when there is none. */
int tofu_module_copy(const struct driver_place *place, const char *template_id, struct err *err);

#endif
