/* SPDX-License-Identifier: Apache-2.0 */
/* Who signs the log's heads, and which witnesses may cosign them. Const after start. */
#ifndef CERTREG_AUDIT_KEY_H
#define CERTREG_AUDIT_KEY_H

#include "lib/checkpoint.h"
#include "services/certreg/certreg.h"

#define AUDIT_MAX_WITNESSES 16

struct audit_key {
	EVP_PKEY *private_key;
	struct note_key own; /* its name is the log's origin */
	struct note_key witnesses[AUDIT_MAX_WITNESSES];
	size_t n_witnesses;
};

/* Reads the files that the configuration names: config.bad_audit_key, log.bad_key. */
int audit_key_read(const struct certreg *certreg, const char *base_url,
	const struct audit_key **ret_key, struct err *err);
void audit_key_wipe(void);

#endif
