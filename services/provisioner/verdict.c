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
	struct reference *ret_reference, struct err *err)
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

	return reference_predict(&files, ret_reference, err);
}

int verdict_store(struct web_req *req, const struct sandbox *sandbox, const json_t *evidence,
	const struct trust_expect *known, struct err *err)
{
	const struct provisioner_conf *conf = req->worker->program;
	auto_json json_t *verdict = NULL;
	struct trust_expect expect = *known;
	struct reference reference;
	auto_buf ca = BUF_INIT(CA_MAX);
	auto_free char *text = NULL;
	size_t len;

	if (json_is_null(json_object_get(evidence, "report")))
		return 0;
	if (buf_read_file(&ca, conf->vtpm_ca, err) < 0)
		return -1;
	if (predict(conf, sandbox, &reference, err) == 0)
		expect.reference = &reference;
	else
		log_failure("no reference values for this sandbox", err);
	expect.vtpm_ca = (const char *)ca.data;
	expect.min_class = "software-tpm";
	expect.activation = EVIDENCE_ACTIVATED; /* or it would not have come so far */
	expect.now = clock_unix_ms() / 1000;
	verdict = trust_evidence_appraise(evidence, &expect);
	log_info("appraised a sandbox's evidence", "sandbox", sandbox->id, "class",
		json_text(verdict, "class"), "failed",
		json_text(verdict, "failed") ? json_text(verdict, "failed") : "-", NULL);
	text = json_encode(verdict, &len);
	return store_vtpm_verdict(req->worker->db, sandbox, text, err);
}
