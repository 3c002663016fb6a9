/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections to the outside one run, one tenant and all of them may have. */
#include "services/orchestrator/tunnels.h"

#include "lib/mem.h"
#include "tests/unit/check.h"

/* As many as it gets, in as many runs as that takes. */
static unsigned take_all(struct tunnels *tunnels, const char *tenant)
{
	unsigned count = 0, in_run = 1;

	while (in_run > 0) {
		auto_free char *id = mem_printf("run_%s_%u", tenant, count);
		const struct run run = { .tenant = (char *)tenant, .id = id, .fence = 1 };

		in_run = 0;
		while (tunnels_enter(tunnels, &run, "example.org:443", NULL, NULL))
			in_run++;
		CHECK(in_run <= TUNNELS_OF_RUN);
		count += in_run;
	}
	return count;
}

static void test_what_greedy_tenants_leave(void)
{
	static const unsigned expected[] = { 128, 128, 128, 64, 32, 16, 8, 4, 2, 1 };
	struct tunnels *tunnels = tunnels_new();

	for (unsigned i = 0; i < ARRAY_LEN(expected); i++) {
		auto_free char *tenant = mem_printf("t%u", i);

		CHECK_NUMBER(take_all(tunnels, tenant), expected[i]);
	}
	tunnels_free(tunnels);
}

int main(void)
{
	test_what_greedy_tenants_leave();
	CHECK_DONE();
}
