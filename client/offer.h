/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the owner of data, of an image or of an output's key hands to whoever writes a policy over
 * it: commitments to his secrets and where the ciphertext lies, none of it secret:
 *   {"v":"strongroom-offer-1","slots":{SLOT:{"commitment","mode","owner"}},"inputs":[<entries of a
 *   policy's inputs>],"outputs":[<of its
 * outputs>],"image":{"repository","manifest","config","layers","argv","env","cwd"}}
 *
 * (`image` beside the slot of that name only; `outputs` may be absent). The openings stay in his
 * keys/, until `strongroom release` wraps them for one run.
 */
#ifndef STRONGROOM_CLIENT_OFFER_H
#define STRONGROOM_CLIENT_OFFER_H

#include <jansson.h>

#include "lib/err.h"

#define OFFER_VERSION "strongroom-offer-1"

/* Every file of the folder in one offer; without a folder one that offers nothing. offer.invalid,
 * offer.twice when two are for one slot. */
int offer_read_all(const char *folder, json_t **ret_offer, struct err *err)
	__attribute__((warn_unused_result));

struct offer_secret {
	const char *slot;
	json_t *secret;
	const char *path; /* below keys/, ...-openings.jwe */
	const char *url;  /* the location that credentials are for; NULL: the secret is no such */
};

/* The opening behind an offer, made once: a commitment is salted, and a policy names it. Beside it
 * stays where the credentials may go, which the commitment does not say. */
int offer_keep(const json_t *storage, const struct offer_secret *offer, json_t **ret_opening,
	struct err *err) __attribute__((warn_unused_result));

/* {slot: opening} of the sealed files in keys/ that the policy's slots commit to.
 * release.other_location when the policy sends credentials elsewhere than they were offered for. */
int offer_openings(const json_t *storage, const json_t *policy, json_t **ret_openings,
	struct err *err) __attribute__((warn_unused_result));

#endif
