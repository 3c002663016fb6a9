/* SPDX-License-Identifier: Apache-2.0 */
/* Failures as the OCI distribution specification writes them: {"errors":[{code,message,detail}]}.
 */
#ifndef REGISTRY_GW_OCI_ERROR_H
#define REGISTRY_GW_OCI_ERROR_H

#include <jansson.h>

#include "lib/err.h"

/* For web_res.problem. `detail.code` is our own, dotted code. */
json_t *oci_error_body(const struct err *err, int status);

#endif
