/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's TPM 2.0, through the kernel's device: its endorsement certificate, an attestation
 * key that only this TPM has, credentials opened with both, PCR 14 and quotes. The keys are primary
 * ones: the same at each boot of one TPM. Not for two threads at once.
 */
#ifndef STRONGROOM_AGENT_TPMDEV_H
#define STRONGROOM_AGENT_TPMDEV_H

#include <jansson.h>
#include <tss2/tss2_tcti.h>

#include "lib/digest.h"
#include "lib/err.h"

struct tpmdev;

/* The kernel's device: tpm.missing when there is none. */
int tpmdev_open(struct tpmdev **ret_tpm, struct err *err) __attribute__((warn_unused_result));
/* By any way to a TPM, which becomes the device's own also when this fails. tpm.failed */
int tpmdev_new(TSS2_TCTI_CONTEXT *tcti, struct tpmdev **ret_tpm, struct err *err)
	__attribute__((warn_unused_result));
void tpmdev_free(struct tpmdev *tpm);

/* {"ek_certificate", "ak"}, as proto/README.md 1.5 has them. */
int tpmdev_identity(struct tpmdev *tpm, json_t **ret_identity, struct err *err)
	__attribute__((warn_unused_result));
/* TPM2_ActivateCredential: what the maker of {"blob", "secret"} put in, as base64url.
 * tpm.credential when it is not for this TPM and this attestation key. */
int tpmdev_activate(struct tpmdev *tpm, const json_t *credential, char **ret_secret,
	struct err *err) __attribute__((warn_unused_result));
/* Extends PCR 14. */
int tpmdev_extend(struct tpmdev *tpm, const unsigned char digest[DIGEST_SIZE], struct err *err)
	__attribute__((warn_unused_result));
/* Adds "quote" and "signature", over PCR 0 to 9 and 14 and these bytes. */
int tpmdev_quote(struct tpmdev *tpm, const unsigned char binding[DIGEST_SIZE], json_t *report,
	struct err *err) __attribute__((warn_unused_result));
/* Adds "event_log": what the firmware says that it measured. */
int tpmdev_event_log(json_t *report, struct err *err) __attribute__((warn_unused_result));

#endif
