/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lib/evidence*.c share. */
#ifndef STRONGROOM_EVIDENCE_INNER_H
#define STRONGROOM_EVIDENCE_INNER_H

#include "lib/evidence.h"

struct evidence_bytes {
	unsigned char *data;
	size_t len;
};

struct evidence_report { /* decoded; freed by evidence_report_release() */
	struct evidence_bytes ek_certificate, chain[EVIDENCE_CHAIN_MAX];
	size_t chain_len;
	struct evidence_bytes ak, quote, signature, event_log;
};

/* The certificate of the endorsement key: form, chain, subject. */
void evidence_check_ek(
	const struct evidence_report *report, const struct evidence_expect *expect, json_t *checks);
/* The event log against the quote, what it measured against the reference values. `quote` is NULL
 * when there is none to hold it against. */
void evidence_check_pcrs(const struct evidence_bytes *bytes, const struct tpm_quote *quote,
	const struct evidence_expect *expect, json_t *checks);
/* RSA-2048 of a certificate that says it is an endorsement key's. evidence.ek_certificate */
int evidence_ek_key(const struct evidence_bytes *bytes, EVP_PKEY **ret_key, struct err *err);

#endif
