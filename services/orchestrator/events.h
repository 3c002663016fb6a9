/* SPDX-License-Identifier: Apache-2.0 */
/* A run's events: a list behind ?after=, or a stream (SSE, Last-Event-ID). */
#ifndef ORCHESTRATOR_EVENTS_H
#define ORCHESTRATOR_EVENTS_H

#include "lib/web.h"

web_handler run_events;

#endif
