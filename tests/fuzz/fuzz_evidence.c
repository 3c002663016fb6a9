/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence of measured sandboxes, and reference values. Without a trusted CA nothing may ever be
 * more than class none, whatever it says.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_report(const json_t *report)
{
	const struct evidence_expect expect = { .subject = "sbx", .now = 1790000000 };
	auto_json json_t *checks = json_array();

	evidence_check_report(report, &expect, checks);
	if (!evidence_failed(checks))
		abort();
}

static void read_reference(const json_t *doc)
{
	auto_json json_t *again = NULL;
	struct reference reference;
	struct reference_boot boot;

	if (reference_decode(doc, &reference, NULL) < 0)
		return;
	again = reference_encode(&reference);
	if (!json_equal(again, doc) || reference_boot(&reference, "{}", 2, &boot, NULL) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct trust_expect expect = {
		.is_offline = true, .min_class = "none", .now = 1790000000
	};
	auto_json json_t *doc = json_parse((const char *)data, size, NULL), *result = NULL;

	if (!doc)
		return 0;
	result = trust_evidence_appraise(doc, &expect);
	if (strcmp(json_text(result, "class"), "none") != 0)
		abort();
	read_report(doc);
	read_report(json_object_get(doc, "report"));
	read_reference(doc);
	return 0;
}
