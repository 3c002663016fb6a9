/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invitations of people: a file that the inviter's client makes and that is handed over, {"v":
 * "strongroom-invitation-1","url","ca" (PEM, optional),"tenant","name","secret","expires_at"}.
 * Whoever has it becomes the member, once; so it is handed over as a key would be.
 */
#ifndef STRONGROOM_CLIENT_INVITATION_H
#define STRONGROOM_CLIENT_INVITATION_H

#include <jansson.h>

#include "client/secret.h"
#include "client/session.h"
#include "lib/err.h"

struct invitation {
	json_t *doc;
	const char *url, *ca, *tenant, *name; /* in doc; ca may be NULL */
	struct secret secret;
};

/* One that is about to be sent: --days and a new secret. */
struct invitation_offer {
	const char *tenant, *name; /* of whom it makes a member, as whom */
	struct secret secret;
	char expires_at[CLOCK_TEXT_SIZE];
};
#define INVITATION_OPTION                                                                          \
	{                                                                                          \
		"days", "N", "how long the invitation is open (7)"                                 \
	}
int invitation_offer_new(const struct cli *cli, const char *tenant, const char *name,
	struct invitation_offer *ret_offer, struct err *err) __attribute__((warn_unused_result));
/* {id, name, hash, expires_at}: what the server may know. */
json_t *invitation_offer_words(const struct invitation_offer *offer);
/* Writes the file (secret.h: --out), posts `body`, shows the answer. */
int invitation_offer_send(struct session *session, const struct cli *cli,
	const struct invitation_offer *offer, const char *path, const json_t *body, struct err *err)
	__attribute__((warn_unused_result));

/* "-": standard input. invitation_file.invalid. */
int invitation_read(const char *path, struct invitation *ret_invitation, struct err *err)
	__attribute__((warn_unused_result));
void invitation_release(struct invitation *invitation); /* wipes */

/* Makes the profile, and in it the first key of the new member. Killed anywhere, it is good to be
 * called again with the same file. profile.exists, invitation.invalid, member.exists. */
int invitation_accept(const char *profile_name, const char *path, const char *trust_file,
	struct err *err) __attribute__((warn_unused_result));

#endif
