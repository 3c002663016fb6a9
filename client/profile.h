/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A profile: which server, who we are there, what we trust. It lives in
 * $XDG_CONFIG_HOME/strongroom/profiles/NAME, a 0700 folder of 0600 files; anything wider is
 * refused, as ssh does. profile.json  url, key id            credentials  the API key storage.jwk
 * opens the keys of projects ca.pem        CA of the server       trust.json   what evidence and
 * measurements must show (trust.md 3)
 */
#ifndef STRONGROOM_CLIENT_PROFILE_H
#define STRONGROOM_CLIENT_PROFILE_H

#include <jansson.h>

#include "lib/digest.h"
#include "lib/err.h"

struct profile {
	char *name, *dir;
	char *url;	 /* no slash at the end */
	char *key_id;	 /* key_… */
	char *secret;	 /* the API key's whole text */
	char *ca_file;	 /* NULL: the system's */
	json_t *storage; /* private JWK */
	json_t *trust;	 /* NULL when none was given */
	char trust_digest[DIGEST_TEXT_SIZE];
};

/* What `configure` was told; NULL leaves a file as it is. */
struct profile_change {
	const char *url, *ca_file, *trust_file;
	const char *key_file; /* "-": standard input */
};

int profile_load(const char *name, struct profile *ret_profile, struct err *err)
	__attribute__((warn_unused_result));
void profile_release(struct profile *profile); /* wipes */
int profile_write(const char *name, const struct profile_change *change, struct err *err)
	__attribute__((warn_unused_result));

/* The trust file:
 * {"v":"strongroom-trust-1","edge_ca_spki":D,"templates":{ID:{"version":N,"kernel":D,"initramfs":D,
 * "agent":D}},"client":D (optional)}. profile.no_trust, trust.no_template. */
const json_t *profile_template(
	const struct profile *profile, const char *template_id, struct err *err);
/* Folder for things that are not a profile's: $XDG_CONFIG_HOME/strongroom. Caller frees. */
char *profile_root(void);

#endif
