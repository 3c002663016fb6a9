/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that this profile's user has compared with their owners (trust.md 4): peers.json in the
 * profile, {"v":"strongroom-peers-1","peers":[{"name","spki","added_at"}]}. What is not there is
 * not believed, whatever the server says; nothing is added by itself.
 */
#ifndef STRONGROOM_CLIENT_PEERS_H
#define STRONGROOM_CLIENT_PEERS_H

#include <jansson.h>

#include "client/profile.h"
#include "lib/err.h"

/* The list; empty when there is no file. peer.list_invalid, profile.permissions. */
int peers_load(const struct profile *profile, json_t **ret_peers, struct err *err)
	__attribute__((warn_unused_result));
int peers_save(const struct profile *profile, const json_t *peers, struct err *err)
	__attribute__((warn_unused_result));

/* peer.name, peer.exists (the name or the key), digest.invalid. */
int peers_add(json_t *peers, const char *name, const char *spki, struct err *err)
	__attribute__((warn_unused_result));
int peers_remove(json_t *peers, const char *name, struct err *err)
	__attribute__((warn_unused_result)); /* peer.not_found */

/* Borrowed; NULL when there is none. */
const json_t *peers_of_name(const json_t *peers, const char *name);
const json_t *peers_of_key(const json_t *peers, const char *spki);
/* peer.unpinned unless the key is on the list; `what` says whose it is said to be. */
int peers_require(const json_t *peers, const char *spki, const char *what, struct err *err)
	__attribute__((warn_unused_result));

#endif
