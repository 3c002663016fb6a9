/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structures by libtss2-mu. It is lenient here and there (trailing bytes, values it does not
 * understand), so everything read is written again and must give the same bytes.
 */
#include "lib/tpm.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "lib/jose.h"
#include "lib/mem.h"

#define STRUCTURE_MAX 2048u

static int bad_structure(const char *what, struct err *err)
{
	return err_set(err, ERR_UNPROCESSABLE, "tpm.structure", "this is no %s", what);
}

static int unsupported(const char *what, struct err *err)
{
	return err_set(err, ERR_UNPROCESSABLE, "tpm.unsupported", "%s", what);
}

static bool is_same(const void *data, size_t len, const uint8_t *again, size_t again_len)
{
	return len == again_len && memcmp(data, again, len) == 0;
}

/* Copies a big number into a field of fixed size. */
static int pad_front(const uint8_t *number, size_t len, unsigned char *ret, size_t size)
{
	if (len == 0 || len > size)
		return -1;
	memset(ret, 0, size - len);
	memcpy(ret + size - len, number, len);
	return 0;
}

void tpm_extend(unsigned char pcr[DIGEST_SIZE], const unsigned char digest[DIGEST_SIZE])
{
	unsigned char both[2 * DIGEST_SIZE];

	memcpy(both, pcr, DIGEST_SIZE);
	memcpy(both + DIGEST_SIZE, digest, DIGEST_SIZE);
	digest_sha256(both, sizeof(both), pcr);
}

/* --- public areas --- */

static int read_ecc(const TPMT_PUBLIC *area, struct tpm_public *public, struct err *err)
{
	const TPMS_ECC_PARMS *parms = &area->parameters.eccDetail;

	public->curve = parms->curveID;
	public->scheme = parms->scheme.scheme;
	if (parms->scheme.scheme != TPM2_ALG_NULL)
	public->hash = parms->scheme.details.anySig.hashAlg;
	if (parms->curveID != TPM2_ECC_NIST_P256)
		return unsupported("the key is on another curve than P-256", err);
	if (pad_front(area->unique.ecc.x.buffer, area->unique.ecc.x.size, public->x,
		    sizeof(public->x)) < 0 ||
		pad_front(area->unique.ecc.y.buffer, area->unique.ecc.y.size, public->y,
			sizeof(public->y)) < 0)
		return bad_structure("point of P-256", err);
	return 0;
}

static int read_rsa(const TPMT_PUBLIC *area, struct tpm_public *public, struct err *err)
{
	const TPMS_RSA_PARMS *parms = &area->parameters.rsaDetail;

	public->key_bits = parms->keyBits;
	public->scheme = parms->scheme.scheme;
	if (parms->keyBits != 2048 || parms->exponent != 0 || area->unique.rsa.size != 256)
		return unsupported("the RSA key has not 2048 bits and the exponent 65537", err);
	memcpy(public->modulus, area->unique.rsa.buffer, sizeof(public->modulus));
	return 0;
}

int tpm_public_parse(const void *data, size_t len, struct tpm_public *ret_public, struct err *err)
{
	uint8_t again[STRUCTURE_MAX];
	struct tpm_public public = { .name = { TPM2_ALG_SHA256 >> 8, TPM2_ALG_SHA256 } };
	size_t read = 0, written = 0;
	TPMT_PUBLIC area = { .type = 0 };

	if (Tss2_MU_TPMT_PUBLIC_Unmarshal(data, len, &read, &area) != TSS2_RC_SUCCESS ||
		Tss2_MU_TPMT_PUBLIC_Marshal(&area, again, sizeof(again), &written) !=
			TSS2_RC_SUCCESS ||
		!is_same(data, len, again, written))
		return bad_structure("TPMT_PUBLIC", err);
	if (area.nameAlg != TPM2_ALG_SHA256)
		return unsupported("the key's name is not made with SHA-256", err);
	public.type = area.type;
	public.name_alg = area.nameAlg;
	public.attributes = area.objectAttributes;
	digest_sha256(data, len, public.name + 2);
	if (area.type != TPM2_ALG_ECC && area.type != TPM2_ALG_RSA)
		return unsupported("the key is neither ECC nor RSA", err);
	if ((area.type == TPM2_ALG_ECC ? read_ecc : read_rsa)(&area, &public, err) < 0)
		return -1;
	*ret_public = public;
	return 0;
}

static OSSL_PARAM *key_params(const struct tpm_public *public)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	unsigned char point[65] = { 4 };
	OSSL_PARAM *params = NULL;
	BIGNUM *n = NULL;

	if (public->type == TPM2_ALG_ECC) {
		memcpy(point + 1, public->x, sizeof(public->x));
		memcpy(point + 33, public->y, sizeof(public->y));
		OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
		OSSL_PARAM_BLD_push_octet_string(
			build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point));
	} else {
		n = BN_bin2bn(public->modulus, sizeof(public->modulus), NULL);
		OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
		OSSL_PARAM_BLD_push_uint(build, OSSL_PKEY_PARAM_RSA_E, 65537);
	}
	params = OSSL_PARAM_BLD_to_param(build);
	OSSL_PARAM_BLD_free(build);
	BN_free(n);
	return params;
}

int tpm_public_key(const struct tpm_public *public, EVP_PKEY **ret_key, struct err *err)
{
	const char *type = public->type == TPM2_ALG_ECC ? "EC" : "RSA";
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = key_params(public);
	EVP_PKEY *key = NULL;
	int result = 0;

	if (!ctx || !params || EVP_PKEY_fromdata_init(ctx) <= 0 ||
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		result = bad_structure("public key", err);
	else
		*ret_key = key;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return result;
}

/* --- quotes --- */

static int read_selection(const TPML_PCR_SELECTION *list, struct tpm_quote *quote, struct err *err)
{
	const TPMS_PCR_SELECTION *bank = &list->pcrSelections[0];

	if (list->count != 1 || bank->hash != TPM2_ALG_SHA256 || bank->sizeofSelect != 3)
		return unsupported("the quote is not over the SHA-256 bank alone", err);
	quote->pcr_select = bank->pcrSelect[0] | (uint32_t)bank->pcrSelect[1] << 8 |
			    (uint32_t)bank->pcrSelect[2] << 16;
	return 0;
}

static int read_quote(const TPMS_ATTEST *attest, struct tpm_quote *quote, struct err *err)
{
	const TPMS_QUOTE_INFO *info = &attest->attested.quote;

	if (attest->extraData.size > sizeof(quote->extra_data) ||
		info->pcrDigest.size != sizeof(quote->pcr_digest))
		return unsupported("the quote's digest is not made with SHA-256", err);
	quote->extra_data_len = attest->extraData.size;
	memcpy(quote->extra_data, attest->extraData.buffer, attest->extraData.size);
	memcpy(quote->pcr_digest, info->pcrDigest.buffer, sizeof(quote->pcr_digest));
	quote->clock = attest->clockInfo.clock;
	quote->reset_count = attest->clockInfo.resetCount;
	quote->restart_count = attest->clockInfo.restartCount;
	return read_selection(&info->pcrSelect, quote, err);
}

int tpm_quote_parse(const void *data, size_t len, struct tpm_quote *ret_quote, struct err *err)
{
	static const unsigned char head[] = { 0xff, 'T', 'C', 'G', 0x80, 0x18 };
	struct tpm_quote quote = { .pcr_select = 0 };
	TPMS_ATTEST attest = { .magic = 0 };
	uint8_t again[STRUCTURE_MAX];
	size_t read = 0, written = 0;

	if (len < sizeof(head) || memcmp(data, head, sizeof(head)) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "tpm.not_a_quote",
			"magic and type are not those of a quote that a TPM made");
	if (Tss2_MU_TPMS_ATTEST_Unmarshal(data, len, &read, &attest) != TSS2_RC_SUCCESS ||
		Tss2_MU_TPMS_ATTEST_Marshal(&attest, again, sizeof(again), &written) !=
			TSS2_RC_SUCCESS ||
		!is_same(data, len, again, written))
		return bad_structure("TPMS_ATTEST", err);
	if (read_quote(&attest, &quote, err) < 0)
		return -1;
	*ret_quote = quote;
	return 0;
}

/* --- signatures --- */

/* TPMT_SIGNATURE as JOSE spells it: r and s of 32 bytes each. */
static int read_signature(
	const void *data, size_t len, unsigned char ret_sig[JOSE_ES256_SIZE], struct err *err)
{
	TPMT_SIGNATURE signature = { .sigAlg = 0 };
	const TPMS_SIGNATURE_ECC *ecc = &signature.signature.ecdsa;
	uint8_t again[STRUCTURE_MAX];
	size_t read = 0, written = 0;

	if (Tss2_MU_TPMT_SIGNATURE_Unmarshal(data, len, &read, &signature) != TSS2_RC_SUCCESS ||
		Tss2_MU_TPMT_SIGNATURE_Marshal(&signature, again, sizeof(again), &written) !=
			TSS2_RC_SUCCESS ||
		!is_same(data, len, again, written))
		return bad_structure("TPMT_SIGNATURE", err);
	if (signature.sigAlg != TPM2_ALG_ECDSA || ecc->hash != TPM2_ALG_SHA256)
		return unsupported("the signature is not ECDSA with SHA-256", err);
	if (pad_front(ecc->signatureR.buffer, ecc->signatureR.size, ret_sig, 32) < 0 ||
		pad_front(ecc->signatureS.buffer, ecc->signatureS.size, ret_sig + 32, 32) < 0)
		return bad_structure("signature by P-256", err);
	return 0;
}

int tpm_signature_verify(EVP_PKEY *key, const void *data, size_t len, const void *signature,
	size_t signature_len, struct err *err)
{
	unsigned char raw[JOSE_ES256_SIZE];

	if (read_signature(signature, signature_len, raw, err) < 0)
		return -1;
	if (jose_es256_verify(key, data, len, raw, NULL) < 0)
		return err_set(err, ERR_UNPROCESSABLE, "tpm.signature",
			"the signature does not verify with this attestation key");
	return 0;
}
