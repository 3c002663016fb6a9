/* SPDX-License-Identifier: Apache-2.0 */
/* Start of the service: the pepper is read once, the signing keys for the first time, the mirror is
 * reconciled. */
#include "services/certreg/certreg.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/answers.h"
#include "services/certreg/audit_append.h"
#include "services/certreg/audit_key.h"
#include "services/certreg/bootstrap.h"
#include "services/certreg/ca.h"
#include "services/certreg/expiry.h"
#include "services/certreg/mirror.h"
#include "services/certreg/signing_keys.h"

#define PEPPER_MIN_BYTES 32
#define CRL_MAX_BYTES (4u << 20) /* about a hundred thousand revoked certificates */
#define OCSP_PLACES 2048	 /* of 1 KiB at most, so 2 MiB in all */
#define OCSP_MAX_BYTES 1024

/* Outlives the configuration, so that it can be wiped; written by init() only. */
static struct secrets secrets;
static struct mirror *mirror;
static struct answers *crls, *ocsps;

const struct certreg *certreg_of(const struct worker *worker)
{
	return worker->program;
}

static int read_pepper(const struct certreg *certreg, struct secrets *ret_secrets, struct err *err)
{
	struct buf pepper = BUF_INIT(PEPPER_MAX_BYTES);
	int result = buf_read_file(&pepper, certreg->pepper, err);

	if (result == 0 && pepper.len < PEPPER_MIN_BYTES)
		result = err_set(err, ERR_INVALID, "config.pepper_short",
			"the pepper file needs at least %d bytes", PEPPER_MIN_BYTES);
	if (result == 0)
		digest_sha256(pepper.data, pepper.len, ret_secrets->pepper_digest);
	buf_wipe(&pepper);
	return result;
}

/* A damaged log is not written to any more; who is who is still told. */
static void check_log(struct worker *worker)
{
	struct err err = { .kind = ERR_NONE };

	if (audit_append_start(worker, &err) < 0)
		log_failure("the audit log is not in order", &err);
}

int certreg_init(struct worker *worker, struct err *err)
{
	struct certreg *certreg = worker->program;

	if (signing_keys_when_asked(certreg->signing_keys_dir, err) < 0 ||
		signing_keys_open(certreg->signing_keys_dir, &secrets.signing_keys, err) < 0 ||
		read_pepper(certreg, &secrets, err) < 0)
		return -1;
	secrets.ca = ca_load(certreg->ca_key, certreg->ca_certificate, worker->conf->base_url, err);
	if (!secrets.ca)
		return -1;
	expiry_register();
	certreg->secrets = &secrets;
	if (audit_key_read(certreg, worker->conf->base_url, &certreg->audit, err) < 0)
		return -1;
	check_log(worker);
	certreg->mirror = mirror = mirror_new();
	certreg->crls = crls = answers_new(1, CRL_MAX_BYTES);
	certreg->ocsps = ocsps = answers_new(OCSP_PLACES, OCSP_MAX_BYTES);
	if (mirror_reconcile(worker, err) < 0)
		return -1;
	return bootstrap_when_asked(worker, err);
}

int certreg_end(int result)
{
	signing_keys_free(secrets.signing_keys);
	audit_key_wipe();
	ca_free(secrets.ca);
	mirror_free(mirror);
	answers_free(crls);
	answers_free(ocsps);
	explicit_bzero(&secrets, sizeof(secrets));
	return result;
}
