/* SPDX-License-Identifier: Apache-2.0 */
/* A secret, its hash noted, then the driver. */
#include "services/provisioner/boot.h"

#include <string.h>

#include "lib/codec.h"
#include "lib/crash.h"
#include "lib/digest.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"
#include "services/provisioner/host_reference.h"

#define SECRET_SIZE 32u

static char *make_secret(char ret_hash[DIGEST_TEXT_SIZE])
{
	unsigned char bytes[SECRET_SIZE];
	char *secret;

	rand_bytes(bytes, sizeof(bytes));
	secret = codec_b64url_text(bytes, sizeof(bytes));
	explicit_bzero(bytes, sizeof(bytes));
	digest_text(secret, strlen(secret), ret_hash);
	return secret;
}

bool boot_is_measured(const char *initdata)
{
	auto_json json_t *parsed = json_loads(initdata, 0, NULL);

	return trust_initdata_allows(parsed, "software-tpm");
}

/* While it boots: who enrols is not to wait for it. What fails here fails there, and is told. */
static void expect_evidence(const struct worker *worker, const json_t *parameters)
{
	struct reference reference;

	(void)host_reference(worker->program, parameters, &reference, NULL);
}

int boot_start(struct worker *worker, const struct driver *driver, const struct boot *boot,
	boot_note *note, void *arg, struct err *err)
{
	auto_json json_t *parameters = json_loads(boot->parameters, 0, NULL);
	char hash[DIGEST_TEXT_SIZE], *secret = make_secret(hash);
	const struct driver_spec spec = { .sandbox_id = boot->sandbox_id,
		.boot = boot->number,
		.parameters = parameters,
		.initdata = boot->initdata,
		.enrolment_secret = secret,
		.is_measured = boot_is_measured(boot->initdata) };
	int r;

	crash_point("before", "secret");
	r = note(arg, hash, err);
	crash_point("after", "secret");
	if (r == 0)
		r = driver_start(driver, worker->program, &spec, err);
	mem_wipe_free(secret, strlen(secret));
	if (r == 0 && spec.is_measured)
		expect_evidence(worker, parameters);
	return r;
}
