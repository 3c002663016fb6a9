/* SPDX-License-Identifier: Apache-2.0 */
/* Scoped policies in the agent: held against the policy, withheld, or another text in their place.
 */
#include "tests/unit/agent_fixture.h"

/* --- scoped policies --- */

#define TENANT "tnt_0190f1c2000070008000000000000007"

static char *scoped_text(const char *member, const char *value)
{
	json_t *doc = json_pack("{s:s,s:s,s:s,s:s,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n}", "v",
		"strongroom-constraints-1", "scope", "tenant", "subject", TENANT, "name", "house",
		"images", "templates", "runners", "recipients", "evidence", "egress", "limits",
		"gates", "not_after");
	char *text = NULL;
	size_t len;

	json_object_set_new(doc, member, json_loads(value, JSON_DECODE_ANY, NULL));
	CHECK(jcs_encode(doc, &text, &len, &err) == 0);
	json_decref(doc);
	return text;
}

static struct papers pinned(const char *text)
{
	json_t *doc = json_deep_copy(w.doc);
	char hash[DIGEST_TEXT_SIZE];

	digest_text(text, strlen(text), hash);
	json_object_set_new(doc, "constraints",
		json_pack("[{s:s,s:s,s:s}]", "scope", "tenant", "subject", TENANT, "hash", hash));
	return make_papers(doc);
}

struct scoped_row {
	const char *member, *value, *code; /* code NULL: the policy keeps to it */
};

static const struct scoped_row SCOPED[] = {
	{ "images", "null", NULL }, { "images", "[\"" D0 "\"]", NULL },
	{ "images", "[\"" D1 "\"]", "constraint.image" }, { "images", "[]", "constraint.image" },
	{ "templates", "[\"small\"]", NULL }, { "templates", "[\"large\"]", "constraint.template" },
	{ "runners", "[\"" D0 "\"]", "constraint.runner" },
	{ "recipients", "[\"" D0 "\"]", "constraint.recipient" },
	{ "evidence", "{\"minimum\":\"none\"}", NULL },
	{ "evidence", "{\"minimum\":\"software-tpm\"}", "constraint.evidence" },
	{ "egress", "{\"modes\":[\"none\"],\"domains\":[]}", NULL },
	{ "egress", "{\"modes\":[\"managed\"],\"domains\":[]}", "constraint.egress" },
	{ "limits", "{\"pids\":64}", NULL }, { "limits", "{\"pids\":63}", "constraint.limit" },
	{ "limits", "{\"max_runs\":99}", "constraint.limit" },
	{ "gates", "{\"max_bytes\":9,\"max_files\":null,\"file_types\":null,\"minimum_rows\":null}",
		"constraint.gate" },
	{ "gates",
		"{\"max_bytes\":null,\"max_files\":null,\"file_types\":[],\"minimum_rows\":null}",
		"constraint.gate" },
	{ "gates", "{\"max_bytes\":null,\"max_files\":null,\"file_types\":null,\"minimum_rows\":3}",
		"constraint.gate" },
	{ "not_after", "1795000000", NULL }, { "not_after", "1794999999", "constraint.not_after" },
	{ "scope", "\"dataset\"", "constraint.missing" }, /* a text that is none */
};

static void test_scoped_policies(void)
{
	for (size_t i = 0; i < ARRAY_LEN(SCOPED); i++) {
		auto_free char *text = scoped_text(SCOPED[i].member, SCOPED[i].value);
		auto_json json_t *given = json_pack("[s]", text);
		struct papers papers;

		boot(NULL);
		papers = pinned(text);
		papers.constraints = given;
		err_clear(&err);
		if (SCOPED[i].code)
			expect(&papers, SCOPED[i].code);
		else
			CHECK(judge(&papers, NOW) == 0);
		drop_papers(&papers);
	}
}

/* Withheld, or another text in its place: refused, however lax that text is. */
static void test_withheld_scoped_policy(void)
{
	auto_free char *text = scoped_text("images", "[\"" D0 "\"]"),
		       *lax = scoped_text("images", "null");
	auto_json json_t *other = json_pack("[s]", lax), *empty = json_array();
	struct papers papers;

	boot(NULL);
	papers = pinned(text);
	expect(&papers, "constraint.missing");
	papers.constraints = empty;
	expect(&papers, "constraint.missing");
	papers.constraints = other;
	expect(&papers, "constraint.missing");
	drop_papers(&papers);
}

int main(void)
{
	set_up();
	test_scoped_policies();
	test_withheld_scoped_policy();
	shut_down();
	tear_down();
	CHECK_DONE();
}
