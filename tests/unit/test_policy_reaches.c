/* SPDX-License-Identifier: Apache-2.0 */
/* Which hosts a policy lets a sandbox reach. */
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"
#include "tests/unit/check.h"

static bool reaches(const char *mode, const char *endpoint)
{
	auto_json json_t *document =
		json_pack("{s:{s:s,s:[s,s]},s:[{s:s},{s:{s:s}}],s:[{s:{s:s}}]}", "egress", "mode",
			mode, "domains", "api.example:443", "api.example:8443", "inputs", "object",
			"obj_1", "location", "url", "https://in.example/a", "outputs", "location",
			"url", "https://out.example:9000/b");

	return trust_policy_reaches(&(const struct trust_policy) { .doc = document }, endpoint);
}

int main(void)
{
	CHECK(reaches("direct", "api.example:443"));
	CHECK(reaches("direct", "api.example:8443"));
	CHECK(reaches("managed", "in.example:443"));
	CHECK(reaches("managed", "out.example:9000"));
	CHECK(!reaches("managed", "out.example:443"));
	CHECK(!reaches("managed", "in.example"));
	CHECK(!reaches("direct", "api.example:80"));
	CHECK(!reaches("direct", "www.api.example:443"));
	CHECK(!reaches("direct", "API.example:443"));
	CHECK(!reaches("direct", ""));
	CHECK(!reaches("none", "api.example:443"));
	CHECK(!reaches("none", "in.example:443"));
	CHECK_DONE();
}
