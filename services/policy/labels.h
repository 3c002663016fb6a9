/* SPDX-License-Identifier: Apache-2.0 */
/* Labels: short texts by name, in any script, that lists can be asked for. They stand in the row
 * that they belong to, and once more as rows of their own to be found by. */
#ifndef POLICY_LABELS_H
#define POLICY_LABELS_H

#include "services/policy/record.h"

#define LABELS_MAX 64
#define LABEL_MAX_BYTES 256

/* At most LABELS_MAX texts of at most LABEL_MAX_BYTES, names too; no control characters, and no '='
 * in a name. label.invalid. NULL is fine. */
int labels_check(const json_t *labels, struct err *err);

/* ?label=name=value, repeated: all must hold. *ret_labels is NULL without any, and is the
 * request's. */
int labels_query(struct web_req *req, json_t **ret_labels, struct err *err);

/* For `also`: these and no others are the record's from now on. */
int labels_set(
	struct db *db, struct web_req *req, const char *id, const json_t *labels, struct err *err);

#endif
