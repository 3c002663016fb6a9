/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TPM 2.0 structures as a verifier needs them (TCG TPM 2.0 Library, Parts 1 and 2), read strictly:
 * one spelling per value, no byte left over. The names of fields are the specification's. Nothing
 * here talks to a TPM.
 */
#ifndef STRONGROOM_TPM_H
#define STRONGROOM_TPM_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/digest.h"
#include "lib/err.h"

#define TPM_PCRS 24u
#define TPM_NAME_SIZE (2 + DIGEST_SIZE) /* TPM_ALG_SHA256, then the digest of TPMT_PUBLIC */

/* fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign: a key that signs only
 * what its TPM made, and never leaves it. */
#define TPM_AK_ATTRIBUTES 0x00050072u

struct tpm_public { /* TPMT_PUBLIC */
	uint16_t type, name_alg, scheme, hash, curve, key_bits;
	uint32_t attributes;
	unsigned char name[TPM_NAME_SIZE];
	unsigned char x[32], y[32]; /* of P-256, padded in front */
	unsigned char modulus[256]; /* of RSA-2048, public exponent 65537 */
};

struct tpm_quote { /* TPMS_ATTEST of type TPM_ST_ATTEST_QUOTE */
	unsigned char extra_data[64];
	size_t extra_data_len;
	uint32_t pcr_select; /* bit i: PCR i of the SHA-256 bank */
	unsigned char pcr_digest[DIGEST_SIZE];
	uint64_t clock;
	uint32_t reset_count, restart_count;
};

struct tpm_credential {		 /* what TPM2_ActivateCredential takes */
	unsigned char blob[128]; /* inner bytes of TPM2B_ID_OBJECT */
	size_t blob_len;
	unsigned char secret[256]; /* inner bytes of TPM2B_ENCRYPTED_SECRET */
	size_t secret_len;
};

/* tpm.structure, tpm.unsupported (neither P-256 nor RSA-2048, or another name algorithm). */
int tpm_public_parse(const void *data, size_t len, struct tpm_public *ret_public, struct err *err);
int tpm_public_key(const struct tpm_public *public, EVP_PKEY **ret_key, struct err *err);

/* tpm.not_a_quote: magic or type say that no TPM made it as a quote; tpm.structure,
 * tpm.unsupported (another bank, or several). */
int tpm_quote_parse(const void *data, size_t len, struct tpm_quote *ret_quote, struct err *err);

/* TPMT_SIGNATURE, ECDSA with SHA-256, over `data` by a P-256 key. tpm.structure, tpm.unsupported,
 * tpm.signature. */
int tpm_signature_verify(EVP_PKEY *key, const void *data, size_t len, const void *signature,
	size_t signature_len, struct err *err);

/* A credential that only the TPM with this endorsement key (RSA-2048) can open, and only for the
 * object of that name: TPM2_MakeCredential without a TPM (Part 1, 24 and B.10.4). `secret` has at
 * most 32 bytes. tpm.unsupported */
int tpm_make_credential(EVP_PKEY *endorsement_key, const unsigned char name[TPM_NAME_SIZE],
	const void *secret, size_t len, struct tpm_credential *ret_credential, struct err *err);

/* pcr = sha256(pcr || digest) */
void tpm_extend(unsigned char pcr[DIGEST_SIZE], const unsigned char digest[DIGEST_SIZE]);

#endif
