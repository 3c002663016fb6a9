/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a driver knows on this host and no living row owns is ended and removed. */
#ifndef PROVISIONER_RECONCILE_H
#define PROVISIONER_RECONCILE_H

#include "lib/service.h"

int reconcile_run(struct worker *worker, struct err *err);

#endif
