/* SPDX-License-Identifier: Apache-2.0 */
/* What comes back from :attest: only our own secret, and only about the keys that it was made for.
 */
#include "client/attest.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static unsigned char secret[ATTEST_SECRET_SIZE] = { 1, 2, 3 };

static json_t *answer_of(const unsigned char *activated, const char *ek, const char *ak)
{
	auto_free char *text = activated ? codec_b64url_text(activated, ATTEST_SECRET_SIZE) : NULL;

	return json_pack("{s:s*,s:{s:{s:s,s:s}}}", "activated", text, "evidence", "report",
		"ek_certificate", ek, "ak", ak);
}

static void expect(const json_t *keys, const unsigned char *activated, const char *ek,
	const char *ak, enum evidence_activation wanted)
{
	auto_json json_t *answer = answer_of(activated, ek, ak);

	CHECK_NUMBER(attest_judge(keys, secret, answer), wanted);
	CHECK_NUMBER(attest_judge(keys, NULL, answer), EVIDENCE_NOT_ACTIVATED);
}

int main(void)
{
	auto_json json_t *keys = json_pack("{s:s,s:s}", "ek_certificate", "EK", "ak", "AK");
	auto_json json_t *nobody = json_object(), *nothing = json_object();
	unsigned char other[ATTEST_SECRET_SIZE] = { 1, 2, 4 };

	expect(keys, secret, "EK", "AK", EVIDENCE_ACTIVATED);
	expect(keys, other, "EK", "AK", EVIDENCE_NOT_ACTIVATED);
	expect(keys, NULL, "EK", "AK", EVIDENCE_NOT_ACTIVATED);
	expect(keys, secret, "other EK", "AK", EVIDENCE_NOT_ACTIVATED);
	expect(keys, secret, "EK", "other AK", EVIDENCE_NOT_ACTIVATED);
	expect(nobody, secret, "EK", "AK", EVIDENCE_NOT_ACTIVATED);
	CHECK_NUMBER(attest_judge(keys, secret, nothing), EVIDENCE_NOT_ACTIVATED);
	CHECK_DONE();
}
