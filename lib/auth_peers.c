/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys of the other services, from a folder of <name>.pem. Each is read when it is first
 * asked for, and kept. */
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/auth_inner.h"
#include "lib/mem.h"

struct peer_key {
	struct peer_key *next;
	char *name;
	EVP_PKEY *key;
};

struct auth_peers {
	const char *folder;
	pthread_rwlock_t lock;
	struct peer_key *first;
};

struct auth_peers *auth_peers_new(const char *folder)
{
	struct auth_peers *peers = mem_alloc(sizeof(*peers));

	peers->folder = folder;
	pthread_rwlock_init(&peers->lock, NULL);
	return peers;
}

void auth_peers_free(struct auth_peers *peers)
{
	if (!peers)
		return;
	while (peers->first) {
		struct peer_key *peer = peers->first;

		peers->first = peer->next;
		EVP_PKEY_free(peer->key);
		free(peer->name);
		free(peer);
	}
	pthread_rwlock_destroy(&peers->lock);
	free(peers);
}

static EVP_PKEY *known_key(struct auth_peers *peers, const char *name)
{
	EVP_PKEY *key = NULL;

	pthread_rwlock_rdlock(&peers->lock);
	for (const struct peer_key *peer = peers->first; peer && !key; peer = peer->next) {
		if (strcmp(peer->name, name) == 0)
			key = peer->key;
	}
	if (key)
		EVP_PKEY_up_ref(key);
	pthread_rwlock_unlock(&peers->lock);
	return key;
}

static EVP_PKEY *read_public_key(const char *path)
{
	auto_file FILE *file = fopen(path, "re");

	return file ? PEM_read_PUBKEY(file, NULL, NULL, NULL) : NULL;
}

static bool is_service_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < 32 && strspn(name, "abcdefghijklmnopqrstuvwxyz-") == len;
}

static void keep(struct auth_peers *peers, const char *name, EVP_PKEY *key)
{
	struct peer_key *peer = mem_alloc(sizeof(*peer));

	*peer = (struct peer_key) { .name = mem_strdup(name), .key = key };
	EVP_PKEY_up_ref(key);
	pthread_rwlock_wrlock(&peers->lock);
	peer->next = peers->first;
	peers->first = peer;
	pthread_rwlock_unlock(&peers->lock);
}

int auth_peers_key(struct auth_peers *peers, const char *name, EVP_PKEY **ret_key, struct err *err)
{
	auto_free char *path = NULL;

	if (!is_service_name(name))
		return err_set(err, ERR_UNAUTHENTICATED, "auth.invalid_token", "no such service");
	*ret_key = known_key(peers, name);
	if (*ret_key)
		return 0;
	path = mem_printf("%s/%s.pem", peers->folder, name);
	*ret_key = read_public_key(path);
	if (!*ret_key)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.invalid_token",
			"no key of a service '%s'", name);
	keep(peers, name, *ret_key);
	return 0;
}
