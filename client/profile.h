/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A profile: which server, who we are there, what we trust. It lives in
 * $XDG_CONFIG_HOME/strongroom/profiles/NAME, a 0700 folder of 0600 files; anything wider is
 * refused, as ssh does.
 *   profile.json  url                          credentials  the API key
 *   storage.jwk   opens the keys of projects   ca.pem       CA of the server
 *   trust.json    what evidence must show      peers.json   keys of others (peers.h)
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
	const char *ca_text; /* PEM, instead of a file */
	const char *api_key;
};

int profile_load(const char *name, struct profile *ret_profile, struct err *err)
	__attribute__((warn_unused_result));
void profile_release(struct profile *profile); /* wipes */
int profile_write(const char *name, const struct profile_change *change, struct err *err)
	__attribute__((warn_unused_result));

/* Its folder, whether it is there or not; caller frees. profile.name. */
int profile_folder(const char *name, char **ret_dir, struct err *err)
	__attribute__((warn_unused_result));
/* sr_<id>_<secret> -> key_<id>; caller frees. profile.api_key. */
int profile_key_id(const char *api_key, char **ret_id, struct err *err)
	__attribute__((warn_unused_result));

/* Files of the profile: refused when others may read them, replaced whole or not at all. */
int profile_read_json(const struct profile *profile, const char *file, json_t **ret_json,
	struct err *err) __attribute__((warn_unused_result));
int profile_write_json(const struct profile *profile, const char *file, const json_t *json,
	struct err *err) __attribute__((warn_unused_result));
/* Waits until nobody else changes the profile. A descriptor, or -1; closing it lets go. */
int profile_lock(const struct profile *profile, struct err *err);

/* Of its trust file (trust_file.h). profile.no_trust, trust.no_template. */
const json_t *profile_template(
	const struct profile *profile, const char *template_id, struct err *err);
/* Folder for things that are not a profile's: $XDG_CONFIG_HOME/strongroom. Caller frees. */
char *profile_root(void);

#endif
