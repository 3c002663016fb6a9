/* SPDX-License-Identifier: Apache-2.0 */
/* tpm2-tss' ESAPI. Templates of keys: TCG EK Credential Profile 2.5 B.3.3 (L-1), and ours. */
#include "agent/tpmdev.h"

#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tcti_device.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"

#define DEVICE "/dev/tpmrm0"
#define EVENT_LOG "/sys/kernel/security/tpm0/binary_bios_measurements"
#define EVENT_LOG_MAX (128u << 10)
#define EK_CERTIFICATE 0x01c00002u
#define EK_CERTIFICATE_MAX 4096u
#define NV_PIECE 512u /* any TPM reads so much at once */
#define NONE ESYS_TR_NONE
#define PASSWORD ESYS_TR_PASSWORD /* all are empty */

struct tpmdev {
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;
	ESYS_TR ek, ak;
	TPM2B_PUBLIC *ak_public;
};

static int check(TSS2_RC rc, const char *what, struct err *err)
{
	return rc == TSS2_RC_SUCCESS
		       ? 0
		       : err_set(err, ERR_INTERNAL, "tpm.failed", "%s: TPM error 0x%x", what, rc);
}

static void esys_release(void *ptr_to_ptr)
{
	Esys_Free(*(void **)ptr_to_ptr);
}
#define auto_esys __attribute__((cleanup(esys_release)))

/* --- keys --- */

static const TPM2B_PUBLIC ek_template = {
	.publicArea = {
		.type = TPM2_ALG_RSA,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
				    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_ADMINWITHPOLICY |
				    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
		.authPolicy = { .size = 32,
			.buffer = { 0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc,
				0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52,
				0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa } },
		.parameters.rsaDetail = { .symmetric = { .algorithm = TPM2_ALG_AES,
						  .keyBits.aes = 128,
						  .mode.aes = TPM2_ALG_CFB },
			.scheme.scheme = TPM2_ALG_NULL,
			.keyBits = 2048 },
		.unique.rsa.size = 256,
	},
};

/* 0x00050072: it signs only what its TPM made, and never leaves it. */
static const TPM2B_PUBLIC ak_template = {
	.publicArea = {
		.type = TPM2_ALG_ECC,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
				    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
				    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT,
		.parameters.eccDetail = { .symmetric.algorithm = TPM2_ALG_NULL,
			.scheme = { .scheme = TPM2_ALG_ECDSA,
				.details.ecdsa.hashAlg = TPM2_ALG_SHA256 },
			.curveID = TPM2_ECC_NIST_P256,
			.kdf.scheme = TPM2_ALG_NULL },
	},
};

static int make_key(struct tpmdev *tpm, const TPM2B_PUBLIC *template, const char *what,
	ESYS_TR *ret_key, TPM2B_PUBLIC **ret_public, struct err *err)
{
	const TPM2B_SENSITIVE_CREATE sensitive = { 0 };
	const TPML_PCR_SELECTION pcrs = { 0 };
	const TPM2B_DATA outside = { 0 };

	return check(Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_ENDORSEMENT, PASSWORD, NONE, NONE,
			     &sensitive, template, &outside, &pcrs, ret_key, ret_public, NULL, NULL,
			     NULL),
		what, err);
}

static int open_all(struct tpmdev *tpm, struct err *err)
{
	if (check(Esys_Initialize(&tpm->esys, tpm->tcti, NULL), "open the TPM", err) < 0 ||
		make_key(tpm, &ek_template, "make the endorsement key", &tpm->ek, NULL, err) < 0)
		return -1;
	return make_key(
		tpm, &ak_template, "make the attestation key", &tpm->ak, &tpm->ak_public, err);
}

int tpmdev_new(TSS2_TCTI_CONTEXT *tcti, struct tpmdev **ret_tpm, struct err *err)
{
	struct tpmdev *tpm = mem_alloc(sizeof(*tpm));

	*tpm = (struct tpmdev) { .tcti = tcti, .ek = NONE, .ak = NONE };
	if (open_all(tpm, err) < 0) {
		tpmdev_free(tpm);
		return -1;
	}
	*ret_tpm = tpm;
	return 0;
}

int tpmdev_open(struct tpmdev **ret_tpm, struct err *err)
{
	TSS2_TCTI_CONTEXT *tcti;
	size_t size = 0;

	if (access(DEVICE, R_OK | W_OK) < 0)
		return err_set(err, ERR_NOT_FOUND, "tpm.missing", "there is no %s", DEVICE);
	if (check(Tss2_Tcti_Device_Init(NULL, &size, DEVICE), "open " DEVICE, err) < 0)
		return -1;
	tcti = mem_alloc(size);
	if (check(Tss2_Tcti_Device_Init(tcti, &size, DEVICE), "open " DEVICE, err) < 0) {
		free(tcti);
		return -1;
	}
	return tpmdev_new(tcti, ret_tpm, err);
}

static void flush(struct tpmdev *tpm, ESYS_TR handle)
{
	if (handle != NONE)
		(void)Esys_FlushContext(tpm->esys, handle);
}

void tpmdev_free(struct tpmdev *tpm)
{
	if (!tpm)
		return;
	if (tpm->esys) {
		flush(tpm, tpm->ak);
		flush(tpm, tpm->ek);
	}
	Esys_Free(tpm->ak_public);
	Esys_Finalize(&tpm->esys);
	Tss2_Tcti_Finalize(tpm->tcti);
	free(tpm->tcti);
	free(tpm);
}

/* --- who it is --- */

static void set_bytes(json_t *object, const char *name, const void *data, size_t len)
{
	auto_free char *text = codec_b64url_text(data, len);

	json_object_set_new(object, name, json_string(text));
}

static int read_nv(struct tpmdev *tpm, ESYS_TR index, size_t size, struct buf *out, struct err *err)
{
	while (out->len < size) {
		size_t left = size - out->len;
		UINT16 piece = (UINT16)(left < NV_PIECE ? left : NV_PIECE);
		auto_esys TPM2B_MAX_NV_BUFFER *data = NULL;

		if (check(Esys_NV_Read(tpm->esys, index, index, PASSWORD, NONE, NONE, piece,
				  (UINT16)out->len, &data),
			    "read the endorsement certificate", err) < 0 ||
			buf_add(out, data->buffer, data->size, err) < 0)
			return -1;
	}
	return 0;
}

static int read_certificate(struct tpmdev *tpm, struct buf *out, struct err *err)
{
	auto_esys TPM2B_NV_PUBLIC *public = NULL;
	ESYS_TR index = NONE;
	int rc = -1;

	if (check(Esys_TR_FromTPMPublic(tpm->esys, EK_CERTIFICATE, NONE, NONE, NONE, &index),
		    "find the endorsement certificate", err) < 0)
		return -1;
	if (check(Esys_NV_ReadPublic(tpm->esys, index, NONE, NONE, NONE, &public, NULL),
		    "look at the endorsement certificate", err) == 0)
		rc = read_nv(tpm, index, public->nvPublic.dataSize, out, err);
	Esys_TR_Close(tpm->esys, &index);
	return rc;
}

int tpmdev_identity(struct tpmdev *tpm, json_t **ret_identity, struct err *err)
{
	auto_buf certificate = BUF_INIT(EK_CERTIFICATE_MAX);
	BYTE ak[sizeof(TPMT_PUBLIC)];
	size_t len = 0;

	if (read_certificate(tpm, &certificate, err) < 0 ||
		check(Tss2_MU_TPMT_PUBLIC_Marshal(
			      &tpm->ak_public->publicArea, ak, sizeof(ak), &len),
			"encode the attestation key", err) < 0)
		return -1;
	*ret_identity = json_object();
	set_bytes(*ret_identity, "ek_certificate", certificate.data, certificate.len);
	set_bytes(*ret_identity, "ak", ak, len);
	return 0;
}

/* --- credentials --- */

/* What the endorsement key's policy asks for. */
static int start_session(struct tpmdev *tpm, ESYS_TR *ret_session, struct err *err)
{
	const TPMT_SYM_DEF plain = { .algorithm = TPM2_ALG_NULL };

	if (check(Esys_StartAuthSession(tpm->esys, NONE, NONE, NONE, NONE, NONE, NULL,
			  TPM2_SE_POLICY, &plain, TPM2_ALG_SHA256, ret_session),
		    "start a policy session", err) < 0)
		return -1;
	if (check(Esys_PolicySecret(tpm->esys, ESYS_TR_RH_ENDORSEMENT, *ret_session, PASSWORD, NONE,
			  NONE, NULL, NULL, NULL, 0, NULL, NULL),
		    "satisfy the endorsement key's policy", err) == 0)
		return 0;
	flush(tpm, *ret_session);
	return -1;
}

static int read_bytes(const json_t *object, const char *name, BYTE *data, size_t size,
	UINT16 *ret_len, struct err *err)
{
	const char *text = json_text(object, name);
	auto_free unsigned char *bytes = NULL;
	size_t len = 0;

	if (!text || codec_b64url_decode(text, strlen(text), &bytes, &len, err) < 0 || len > size)
		return err_set(err, ERR_UNPROCESSABLE, "tpm.credential",
			"the credential has no '%s' that a TPM takes", name);
	memcpy(data, bytes, len);
	*ret_len = (UINT16)len;
	return 0;
}

static int activate(struct tpmdev *tpm, const TPM2B_ID_OBJECT *blob,
	const TPM2B_ENCRYPTED_SECRET *secret, TPM2B_DIGEST **ret_opened, struct err *err)
{
	ESYS_TR session = NONE;
	TSS2_RC rc;

	if (start_session(tpm, &session, err) < 0)
		return -1;
	rc = Esys_ActivateCredential(
		tpm->esys, tpm->ak, tpm->ek, PASSWORD, session, NONE, blob, secret, ret_opened);
	flush(tpm, session); /* ESYS asks the TPM to keep it, and a TPM has three */
	if (rc == TSS2_RC_SUCCESS)
		return 0;
	return err_set(err, ERR_UNPROCESSABLE, "tpm.credential",
		"the credential is not for this TPM and key: TPM error 0x%x", rc);
}

int tpmdev_activate(
	struct tpmdev *tpm, const json_t *credential, char **ret_secret, struct err *err)
{
	auto_esys TPM2B_DIGEST *opened = NULL;
	TPM2B_ENCRYPTED_SECRET secret = { 0 };
	TPM2B_ID_OBJECT blob = { 0 };

	if (read_bytes(credential, "blob", blob.credential, sizeof(blob.credential), &blob.size,
		    err) < 0 ||
		read_bytes(credential, "secret", secret.secret, sizeof(secret.secret), &secret.size,
			err) < 0 ||
		activate(tpm, &blob, &secret, &opened, err) < 0)
		return -1;
	*ret_secret = codec_b64url_text(opened->buffer, opened->size);
	explicit_bzero(opened, sizeof(*opened));
	return 0;
}

/* --- measurements --- */

int tpmdev_extend(struct tpmdev *tpm, const unsigned char digest[DIGEST_SIZE], struct err *err)
{
	TPML_DIGEST_VALUES values = { .count = 1, .digests[0].hashAlg = TPM2_ALG_SHA256 };

	memcpy(values.digests[0].digest.sha256, digest, DIGEST_SIZE);
	return check(Esys_PCR_Extend(tpm->esys, ESYS_TR_PCR14, PASSWORD, NONE, NONE, &values),
		"extend PCR 14", err);
}

int tpmdev_quote(struct tpmdev *tpm, const unsigned char binding[DIGEST_SIZE], json_t *report,
	struct err *err)
{
	const TPML_PCR_SELECTION pcrs = { .count = 1,
		.pcrSelections[0] = { .hash = TPM2_ALG_SHA256,
			.sizeofSelect = 3,
			.pcrSelect = { 0xff, 0x43, 0x00 } } }; /* 0 to 9, and 14 */
	/* cppcheck-suppress legacyUninitvar */
	const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_NULL }; /* the key's own */
	auto_esys TPMT_SIGNATURE *signature = NULL;
	auto_esys TPM2B_ATTEST *quote = NULL;
	TPM2B_DATA extra = { .size = DIGEST_SIZE };
	BYTE encoded[sizeof(TPMT_SIGNATURE)];
	size_t len = 0;

	memcpy(extra.buffer, binding, DIGEST_SIZE);
	if (check(Esys_Quote(tpm->esys, tpm->ak, PASSWORD, NONE, NONE, &extra, &scheme, &pcrs,
			  &quote, &signature),
		    "quote", err) < 0 ||
		check(Tss2_MU_TPMT_SIGNATURE_Marshal(signature, encoded, sizeof(encoded), &len),
			"encode the quote's signature", err) < 0)
		return -1;
	set_bytes(report, "quote", quote->attestationData, quote->size);
	set_bytes(report, "signature", encoded, len);
	return 0;
}

int tpmdev_event_log(json_t *report, struct err *err)
{
	auto_buf log = BUF_INIT(EVENT_LOG_MAX);

	if (buf_read_file(&log, EVENT_LOG, err) < 0)
		return -1;
	set_bytes(report, "event_log", log.data, log.len);
	return 0;
}
