/* SPDX-License-Identifier: Apache-2.0 */
/* Runs as their owners see them: start, list, watch, order again, cancel. */
#ifndef ORCHESTRATOR_RUNS_H
#define ORCHESTRATOR_RUNS_H

#include "lib/web.h"

web_handler run_create;
web_handler run_list;
web_handler run_show;
web_handler run_reorder;
web_handler run_cancel;

#endif
