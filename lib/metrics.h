/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenMetrics counters, gauges and histograms with bounded labels (route template, code, lane:
 * never ids). Any thread; atomics only. Names are declared once as static rows and registered at
 * start.
 */
#ifndef STRONGROOM_METRICS_H
#define STRONGROOM_METRICS_H

#include <stdatomic.h>

#include "lib/buf.h"

struct metric {
	const char *name; /* strongroom_…, with _total or a unit */
	const char *help;
	const char *type;   /* "counter" or "gauge" */
	const char *labels; /* "code=\"x\"" or "" */
	atomic_llong value;
	struct metric *next;
};

void metric_register(struct metric *metric); /* once each; static storage */
void metric_add(struct metric *metric, long long n);
void metric_set(struct metric *metric, long long value);
int metrics_write(struct buf *out, struct err *err);

#endif
