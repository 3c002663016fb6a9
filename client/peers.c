/* SPDX-License-Identifier: Apache-2.0 */
/* The list of pinned keys: its file, and the lookups that approving and wrapping depend on. */
#include "client/peers.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/digest.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define PEERS_FILE "peers.json"
#define PEERS_VERSION "strongroom-peers-1"
#define NAME_MAX_LEN 63

static bool is_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return len > 0 && len <= NAME_MAX_LEN && !name[len] && *name != '-';
}

static int check_list(const json_t *peers, struct err *err)
{
	unsigned char digest[DIGEST_SIZE];
	struct err reason = { 0 };
	const json_t *peer;
	size_t i;

	json_array_foreach (peers, i, peer) {
		const char *name = json_text(peer, "name"), *spki = json_text(peer, "spki");

		if (!name || !spki || digest_parse(spki, digest, &reason) < 0)
			return err_set(err, ERR_INVALID, "peer.list_invalid",
				"entry %zu of " PEERS_FILE " has no name or no key", i + 1);
	}
	return 0;
}

int peers_load(const struct profile *profile, json_t **ret_peers, struct err *err)
{
	auto_free char *path = mem_printf("%s/" PEERS_FILE, profile->dir);
	auto_json json_t *doc = NULL;
	json_t *peers;

	if (access(path, F_OK) < 0 && errno == ENOENT) {
		*ret_peers = json_array();
		return 0;
	}
	if (profile_read_json(profile, PEERS_FILE, &doc, err) < 0)
		return -1;
	peers = json_object_get(doc, "peers");
	if (!json_text(doc, "v") || strcmp(json_text(doc, "v"), PEERS_VERSION) != 0 ||
		!json_is_array(peers))
		return err_set(err, ERR_INVALID, "peer.list_invalid",
			"'%s' is no " PEERS_VERSION " file", path);
	if (check_list(peers, err) < 0)
		return -1;
	*ret_peers = json_incref(peers);
	return 0;
}

int peers_save(const struct profile *profile, const json_t *peers, struct err *err)
{
	auto_json json_t *doc = json_pack("{s:s,s:O}", "v", PEERS_VERSION, "peers", peers);

	return profile_write_json(profile, PEERS_FILE, doc, err);
}

static const json_t *find(const json_t *peers, const char *member, const char *value)
{
	const json_t *peer;
	size_t i;

	json_array_foreach (peers, i, peer) {
		if (strcmp(json_text(peer, member), value) == 0)
			return peer;
	}
	return NULL;
}

const json_t *peers_of_name(const json_t *peers, const char *name)
{
	return find(peers, "name", name);
}

const json_t *peers_of_key(const json_t *peers, const char *spki)
{
	return find(peers, "spki", spki);
}

int peers_add(json_t *peers, const char *name, const char *spki, struct err *err)
{
	unsigned char digest[DIGEST_SIZE];
	char now[CLOCK_TEXT_SIZE];

	if (!is_name(name))
		return err_set(err, ERR_INVALID, "peer.name",
			"'%s' is no name: up to 63 of a-z, 0-9 and -", name);
	if (digest_parse(spki, digest, err) < 0)
		return -1;
	if (peers_of_name(peers, name))
		return err_set(err, ERR_CONFLICT, "peer.exists", "'%s' has a key already", name);
	if (peers_of_key(peers, spki))
		return err_set(err, ERR_CONFLICT, "peer.exists", "this key is pinned as '%s'",
			json_text(peers_of_key(peers, spki), "name"));
	clock_rfc3339(clock_unix_ms(), now);
	json_array_append_new(
		peers, json_pack("{s:s,s:s,s:s}", "name", name, "spki", spki, "added_at", now));
	return 0;
}

int peers_remove(json_t *peers, const char *name, struct err *err)
{
	const json_t *peer;
	size_t i;

	json_array_foreach (peers, i, peer) {
		if (strcmp(json_text(peer, "name"), name) == 0) {
			json_array_remove(peers, i);
			return 0;
		}
	}
	return err_set(err, ERR_NOT_FOUND, "peer.not_found", "no peer '%s' is pinned", name);
}

int peers_require(const json_t *peers, const char *spki, const char *what, struct err *err)
{
	if (peers_of_key(peers, spki))
		return 0;
	return err_set(err, ERR_FORBIDDEN, "peer.unpinned", "%s is %s, which is not pinned here",
		what, spki);
}
