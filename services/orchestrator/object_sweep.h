/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects past their time. An upload that nobody went on with for a week goes, and so does an
 * output that its ended run does not name. Everything else stays until its owner deletes it, or
 * with object_retention_days until so many days after the last run that used it. A run that is not
 * over keeps its inputs and its output.
 */
#ifndef ORCHESTRATOR_OBJECT_SWEEP_H
#define ORCHESTRATOR_OBJECT_SWEEP_H

#include "lib/service.h"

int object_sweep(struct worker *worker, struct err *err); /* service.forget */

#endif
