/* SPDX-License-Identifier: Apache-2.0 */
/* Start of the service: the issuer's key and the pepper are read once, the mirror is reconciled. */
#include "services/certreg/certreg.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/bootstrap.h"
#include "services/certreg/mirror.h"

#define KEY_FILE_MAX (16 * 1024)
#define PEPPER_MIN_BYTES 32

/* Outlives the configuration, so that it can be wiped; written by init() only. */
static struct secrets secrets;

const struct certreg *certreg_of(const struct worker *worker)
{
	return worker->program;
}

static int read_issuer(const struct certreg *certreg, struct secrets *ret_secrets, struct err *err)
{
	auto_buf pem = BUF_INIT(KEY_FILE_MAX);
	auto_json json_t *jwk = NULL;
	auto_key EVP_PKEY *key = NULL;
	int result;

	if (buf_read_file(&pem, certreg->signing_key, err) < 0)
		return err_wrap(err, "signing_key");
	result = cert_key_read((const char *)pem.data, pem.len, &key, err);
	buf_wipe(&pem);
	if (result < 0 || jose_key_from_evp(key, "sig", &jwk, err) < 0 ||
		jose_key_thumbprint(jwk, ret_secrets->issuer_kid, err) < 0)
		return err_wrap(err, "signing_key '%s'", certreg->signing_key);
	ret_secrets->issuer_key = take_ptr(key);
	return 0;
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

int certreg_init(struct worker *worker, struct err *err)
{
	struct certreg *certreg = worker->program;

	if (read_issuer(certreg, &secrets, err) < 0 || read_pepper(certreg, &secrets, err) < 0)
		return -1;
	certreg->secrets = &secrets;
	if (mirror_reconcile(worker, err) < 0)
		return -1;
	return bootstrap_when_asked(worker, err);
}

int certreg_end(int result)
{
	EVP_PKEY_free(secrets.issuer_key);
	explicit_bzero(&secrets, sizeof(secrets));
	return result;
}
