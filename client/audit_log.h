/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a profile knows of its instance's audit log: the log's key, from the trust file (`log_key`)
 * or pinned when the profile was made, and the newest checkpoint that it has seen. Each newer one
 * must be the old log with records added, and every head in an order or a receipt must be of that
 * same log. Files in the profile: `log-key`, `checkpoint`.
 */
#ifndef STRONGROOM_CLIENT_AUDIT_LOG_H
#define STRONGROOM_CLIENT_AUDIT_LOG_H

#include <stdbool.h>

#include "client/api.h"
#include "lib/checkpoint.h"

/* The log's key. false without err: the profile has none, and nothing of the log is checked. */
bool audit_log_key(const struct profile *profile, struct note_key *ret_key, struct err *err);
/* Shows the key that the instance names and pins it, unless the trust file or an earlier run did.
 */
int audit_log_pin(struct api *api, char **ret_key, struct err *err);

/* Fetches the newest checkpoint, checks it against the kept one and keeps it: log.inconsistent,
 * log.missing, log.wrong_signature, … `ret_note` (may be NULL) is the caller's; *ret_found is false
 * when the profile has no key. */
int audit_log_refresh(struct api *api, struct checkpoint *ret_checkpoint, char **ret_note,
	bool *ret_found, struct err *err);
/* The same as {"size","root"} for what is about to be signed; NULL without a key. */
int audit_log_head(struct api *api, json_t **ret_head, struct err *err);
/* Whether a head that another signed is of the log that we know: log.inconsistent, log.missing. */
int audit_log_check(struct api *api, const json_t *head, struct err *err);
/* The kept checkpoint; *ret_found is false when there is none. */
int audit_log_kept(const struct profile *profile, const struct note_key *key,
	struct checkpoint *ret_checkpoint, bool *ret_found, struct err *err);

#endif
