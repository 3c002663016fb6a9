/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference values of this host's own files for a sandbox of some size. Predicting them takes a
 * good part of a second (the firmware is unpacked, kernel and initramfs are hashed), so they are
 * kept as long as the files are the same.
 */
#ifndef PROVISIONER_HOST_REFERENCE_H
#define PROVISIONER_HOST_REFERENCE_H

#include "lib/reference.h"
#include "services/provisioner/config.h"

/* By the sandbox's completed parameters. As reference_predict(). */
int host_reference(const struct provisioner_conf *conf, const json_t *parameters,
	struct reference *ret_reference, struct err *err);

#endif
