/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier of lib/evidence.h, with the values of this host. */
#include "services/provisioner/verdict.h"

#include <stdlib.h>
#include <string.h>

#include "launcher/launch.h"
#include "lib/buf.h"
#include "lib/evidence.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "proto/trust.h"
#include "services/provisioner/config.h"
#include "services/provisioner/store_attestations.h"

#define CA_MAX 65536

static int predict(const struct provisioner_conf *conf, const struct sandbox *sandbox,
	struct reference *ret_reference, struct reference_boot *ret_boot, struct err *err)
{
	auto_free char *kernel = mem_printf("%s/vmlinuz", conf->guest_dir);
	auto_free char *initramfs = mem_printf("%s/initramfs.img", conf->guest_dir);
	auto_json json_t *parameters = json_loads(sandbox->parameters, 0, NULL);
	const struct reference_files files = { .firmware = conf->firmware,
		.kernel = kernel,
		.initramfs = initramfs,
		.cmdline = LAUNCH_CMDLINE,
		.memory_mib = json_integer_value(json_object_get(parameters, "memory_mib")),
		.vcpus = 1 };

	if (reference_predict(&files, ret_reference, err) < 0)
		return -1;
	return reference_boot(
		ret_reference, sandbox->initdata, strlen(sandbox->initdata), ret_boot, err);
}

static int fill_binding(const json_t *evidence, struct evidence_expect *expect, struct err *err)
{
	const json_t *claim = json_object_get(evidence, "claim");
	auto_free char *text = NULL;
	size_t len = 0;

	if (trust_evidence_binding(json_object_get(evidence, "enc"),
		    json_object_get(evidence, "sig"), json_text(evidence, "nonce"),
		    json_object_get(evidence, "initdata"), claim, expect->binding, err) < 0 ||
		jcs_encode(claim, &text, &len, err) < 0)
		return -1;
	digest_sha256(text, len, expect->claim);
	return 0;
}

static int check(struct web_req *req, const struct sandbox *sandbox, const json_t *evidence,
	json_t *checks, struct err *err)
{
	const struct provisioner_conf *conf = req->worker->program;
	auto_buf ca = BUF_INIT(CA_MAX);
	struct reference_boot boot;
	struct reference reference;
	struct evidence_expect expect = { .subject = sandbox->id,
		.activation = EVIDENCE_ACTIVATED, /* or it would not have come so far */
		.now = clock_unix_ms() / 1000 };

	if (predict(conf, sandbox, &reference, &boot, err) == 0) {
		expect.reference = &reference;
		expect.boot = &boot;
	} else {
		log_failure("no reference values for this sandbox", err);
	}
	if (buf_read_file(&ca, conf->vtpm_ca, err) < 0 || fill_binding(evidence, &expect, err) < 0)
		return -1;
	expect.vtpm_ca = (const char *)ca.data;
	evidence_check_report(json_object_get(evidence, "report"), &expect, checks);
	return 0;
}

int verdict_store(
	struct web_req *req, const struct sandbox *sandbox, const json_t *evidence, struct err *err)
{
	auto_json json_t *checks = json_array(), *verdict = NULL;
	auto_free char *text = NULL;
	const json_t *failed;
	size_t len;

	if (json_is_null(json_object_get(evidence, "report")))
		return 0;
	if (check(req, sandbox, evidence, checks, err) < 0)
		return -1;
	failed = evidence_failed(checks);
	if (failed)
		log_warn("a sandbox's evidence fails here", "sandbox", sandbox->id, "check",
			json_text(failed, "code"), NULL);
	verdict =
		json_pack("{s:s,s:O}", "class", failed ? "none" : "software-tpm", "checks", checks);
	text = json_encode(verdict, &len);
	return store_vtpm_verdict(req->worker->db, sandbox, text, err);
}
