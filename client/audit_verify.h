/* SPDX-License-Identifier: Apache-2.0 */
/* Checking an exported log, without any server. */
#ifndef STRONGROOM_CLIENT_AUDIT_VERIFY_H
#define STRONGROOM_CLIENT_AUDIT_VERIFY_H

#include "lib/checkpoint.h"

struct audit_verify {
	const struct note_key *key;	/* NULL: the one that the file names */
	const struct checkpoint *known; /* a head seen before, or NULL */
	/* what was found */
	unsigned long long leaves, records, heads;
	char key_text[512];
	struct merkle_hash root;
};

/* Reads the file line by line. The error names the first leaf that was altered, dropped or moved:
 * log.record_altered, log.record_missing, log.leaf_missing, log.wrong_root, log.truncated,
 * log.inconsistent, log.bad_export. */
int audit_verify_file(const char *path, struct audit_verify *verify, struct err *err);

#endif
