/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenMetrics text: families stand together, counters lose _total in their family's name. */
#include "lib/metrics.h"

#include "tests/unit/check.h"

static struct metric gauge = { "strongroom_depth", "Waiting.", "gauge", "", 0, NULL };
static struct metric good = { "strongroom_jobs_total", "Jobs.", "counter", "code=\"ok\"", 0, NULL };
static struct metric bad = { "strongroom_jobs_total", "Jobs.", "counter", "code=\"bad\"", 0, NULL };

int main(void)
{
	auto_buf out = BUF_INIT(4096), small = BUF_INIT(10);
	struct err err;

	metric_register(&good);
	metric_register(&gauge);
	metric_register(&bad);
	metric_add(&good, 2);
	metric_add(&good, 3);
	metric_set(&gauge, -7);
	CHECK_NUMBER(metrics_write(&out, &err), 0);
	CHECK_TEXT((char *)out.data, "# TYPE strongroom_jobs counter\n"
				     "# HELP strongroom_jobs Jobs.\n"
				     "strongroom_jobs_total{code=\"bad\"} 0\n"
				     "strongroom_jobs_total{code=\"ok\"} 5\n"
				     "# TYPE strongroom_depth gauge\n"
				     "# HELP strongroom_depth Waiting.\n"
				     "strongroom_depth -7\n"
				     "# EOF\n");
	CHECK_FAILS(metrics_write(&small, &err), &err, "limit.buffer");
	CHECK_DONE();
}
