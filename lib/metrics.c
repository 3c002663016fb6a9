/* SPDX-License-Identifier: Apache-2.0 */
/* The list of registered metrics and its OpenMetrics text; samples of one family stand together. */
#include "lib/metrics.h"

#include <stdbool.h>
#include <string.h>

static struct metric *_Atomic first;

void metric_register(struct metric *metric)
{
	metric->next = atomic_load(&first);
	while (!atomic_compare_exchange_weak(&first, &metric->next, metric))
		;
}

void metric_add(struct metric *metric, long long n)
{
	atomic_fetch_add_explicit(&metric->value, n, memory_order_relaxed);
}

void metric_set(struct metric *metric, long long value)
{
	atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

static bool same_family(const struct metric *a, const struct metric *b)
{
	return strcmp(a->name, b->name) == 0;
}

/* A counter's family is its name without "_total". */
static int write_header(struct buf *out, const struct metric *metric, struct err *err)
{
	size_t len = strlen(metric->name);

	if (len > 6 && strcmp(metric->name + len - 6, "_total") == 0)
		len -= 6;
	return buf_printf(out, err, "# TYPE %.*s %s\n# HELP %.*s %s\n", (int)len, metric->name,
		metric->type, (int)len, metric->name, metric->help);
}

static int write_sample(struct buf *out, struct metric *metric, struct err *err)
{
	long long value = atomic_load_explicit(&metric->value, memory_order_relaxed);

	if (*metric->labels)
		return buf_printf(out, err, "%s{%s} %lld\n", metric->name, metric->labels, value);
	return buf_printf(out, err, "%s %lld\n", metric->name, value);
}

static bool is_first_of_family(const struct metric *metric)
{
	for (const struct metric *earlier = atomic_load(&first); earlier; earlier = earlier->next) {
		if (earlier == metric)
			return true;
		if (same_family(earlier, metric))
			return false;
	}
	return true;
}

static int write_family(struct buf *out, struct metric *metric, struct err *err)
{
	if (write_header(out, metric, err) < 0)
		return -1;
	for (struct metric *sample = metric; sample; sample = sample->next) {
		if (same_family(sample, metric) && write_sample(out, sample, err) < 0)
			return -1;
	}
	return 0;
}

int metrics_write(struct buf *out, struct err *err)
{
	for (struct metric *metric = atomic_load(&first); metric; metric = metric->next) {
		if (is_first_of_family(metric) && write_family(out, metric, err) < 0)
			return -1;
	}
	return buf_add_text(out, "# EOF\n", err);
}
