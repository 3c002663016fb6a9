/* SPDX-License-Identifier: Apache-2.0 */
/* Predicted values against what real boots measured; the log's form, damaged in turn. */
#include "lib/event_log.h"
#include "lib/firmware.h"
#include "lib/reference.h"
#include "tests/unit/vtpm_run.h"

#define FIRMWARE "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define FIRMWARE_DIGEST "b157d97b1f69729514feb7f201d2cbe4957f23ab77920e361fe9f822ba49ca4c"
#define DXE "82a0445201cb49945461acc6ed78426700fb7e92819862edc55ba3ad4559b135"

static struct err err;

static struct bytes hex_of(const char *hex)
{
	struct bytes bytes = { .len = strlen(hex) / 2 };

	CHECK(codec_hex_decode(hex, bytes.data, bytes.len, NULL) == 0);
	return bytes;
}

/* Values of the recorded boot; its initrd is not there, only its digest is. */
static struct reference reference_of(long long memory_mib)
{
	struct reference reference = {
		.cmdline = "console=ttyS0 quiet", .memory_mib = memory_mib, .vcpus = 1
	};
	struct bytes firmware = hex_of(FIRMWARE_DIGEST), dxe = hex_of(DXE);

	memcpy(reference.firmware, firmware.data, DIGEST_SIZE);
	memcpy(reference.dxe, dxe.data, DIGEST_SIZE);
	CHECK(firmware_pei_digest(reference.firmware, memory_mib, 1, reference.pei, &err) == 0);
	return reference;
}

static void check_boot(const json_t *run, long long memory_mib)
{
	static const unsigned same[] = { 0, 1, 2, 3, 5, 6, 7, 8 };
	struct reference reference = reference_of(memory_mib);
	struct bytes log_bytes = run_bytes(run, "EVENTLOG"), quoted;
	unsigned char replayed[TPM_PCRS][DIGEST_SIZE];
	auto_event_log log = { .count = 0 };
	struct reference_boot boot;
	char name[8];

	CHECK(reference_boot(&reference, "{}", 2, &boot, &err) == 0);
	CHECK(event_log_parse(log_bytes.data, log_bytes.len, &log, &err) == 0);
	event_log_replay(&log, replayed);
	for (unsigned i = 0; i < REFERENCE_PCRS; i++) {
		snprintf(name, sizeof(name), "PCR%u", i);
		quoted = run_bytes(run, name);
		CHECK(memcmp(quoted.data, replayed[i], DIGEST_SIZE) == 0);
	}
	for (unsigned i = 0; i < ARRAY_LEN(same); i++)
		CHECK(memcmp(boot.pcrs[same[i]], replayed[same[i]], DIGEST_SIZE) == 0);
	CHECK(memcmp(event_log_find(&log, 9, EVENT_TAG, 0)->digest, boot.cmdline, DIGEST_SIZE) ==
		0);
	CHECK(event_log_find(&log, 9, EVENT_TAG, 1) != NULL &&
		event_log_find(&log, 9, EVENT_TAG, 2) == NULL);
}

static void test_boots(void)
{
	json_t *base = run_read("base"), *large = run_read("mem512");

	check_boot(base, 256);
	if (large)
		check_boot(large, 512);
	json_decref(base);
	json_decref(large);
}

static void test_firmware(void)
{
	unsigned char digest[DIGEST_SIZE];
	auto_buf file = BUF_INIT(FIRMWARE_MAX_BYTES);
	struct bytes dxe = hex_of(DXE);

	CHECK_FAILS(firmware_dxe_digest("", 0, digest, &err), &err, "firmware.format");
	CHECK_FAILS(firmware_pei_digest(digest, 77, 1, digest, &err), &err, "firmware.no_golden");
	if (buf_read_file(&file, FIRMWARE, NULL) < 0)
		return;
	digest_sha256(file.data, file.len, digest);
	if (memcmp(digest, hex_of(FIRMWARE_DIGEST).data, DIGEST_SIZE) != 0)
		return; /* another build of it */
	CHECK(firmware_dxe_digest(file.data, file.len, digest, &err) == 0);
	CHECK(memcmp(digest, dxe.data, DIGEST_SIZE) == 0);
	file.data[file.len / 3] ^= 1;
	CHECK(firmware_dxe_digest(file.data, file.len, digest, &err) < 0 ||
		memcmp(digest, dxe.data, DIGEST_SIZE) != 0);
	CHECK_FAILS(firmware_dxe_digest(file.data, file.len / 2, digest, &err), &err,
		"firmware.format");
}

static void test_log_form(void)
{
	json_t *base = run_read("base");
	struct bytes bytes = run_bytes(base, "EVENTLOG");
	auto_event_log log = { .count = 0 };

	CHECK(event_log_parse(bytes.data, bytes.len, &log, &err) == 0);
	CHECK_NUMBER(log.count, 24);
	event_log_release(&log);
	CHECK_FAILS(
		event_log_parse(bytes.data, bytes.len - 1, &log, &err), &err, "event_log.syntax");
	CHECK_FAILS(event_log_parse(bytes.data, 0, &log, &err), &err, "event_log.syntax");
	bytes.data[65 + 3] = 1; /* the first event's PCR */
	CHECK_FAILS(event_log_parse(bytes.data, bytes.len, &log, &err), &err, "event_log.syntax");
	bytes.data[65 + 3] = 0;
	bytes.data[65 + 8] = 2; /* its number of digests */
	CHECK_FAILS(event_log_parse(bytes.data, bytes.len, &log, &err), &err, "event_log.syntax");
	bytes.data[65 + 8] = 1;
	bytes.data[32] ^= 1; /* "Spec ID" */
	CHECK_FAILS(event_log_parse(bytes.data, bytes.len, &log, &err), &err, "event_log.syntax");
	json_decref(base);
}

static void test_json(void)
{
	struct reference reference = reference_of(256), again;
	auto_json json_t *json = NULL;

	reference.initramfs = (struct digest_state) { .words = { 1, 2, 0xfffffff0 }, .size = 8192 };
	json = reference_encode(&reference);
	CHECK(reference_decode(json, &again, &err) == 0);
	CHECK(memcmp(&reference, &again, sizeof(again)) == 0);
	json_object_set_new(json_object_get(json, "initramfs"), "size", json_integer(8191));
	CHECK_FAILS(reference_decode(json, &again, &err), &err, "reference.invalid");
	json_object_set_new(json_object_get(json, "initramfs"), "size", json_integer(8192));
	json_object_set_new(json, "more", json_null());
	CHECK_FAILS(reference_decode(json, &again, &err), &err, "reference.invalid");
}

/* The hash goes on behind the initramfs as if it had never stopped. */
static void test_state(void)
{
	unsigned char bytes[200], whole[DIGEST_SIZE], parts[DIGEST_SIZE];
	struct digest_state state;

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	digest_sha256(bytes, sizeof(bytes), whole);
	digest_state_make(bytes, 128, &state);
	digest_state_finish(&state, bytes + 128, sizeof(bytes) - 128, parts);
	CHECK(memcmp(whole, parts, DIGEST_SIZE) == 0);
}

int main(void)
{
	test_boots();
	test_firmware();
	test_log_form();
	test_json();
	test_state();
	CHECK_DONE();
}
