/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in words as PGP says them, and the file of pinned keys. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/peers.h"
#include "client/secret.h"
#include "client/words.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define ONE "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define TWO "sha256:2222222222222222222222222222222222222222222222222222222222222222"

/* The example that the list's description carries: a fingerprint of 20 bytes. */
static void words(void)
{
	static const unsigned char bytes[] = { 0xe5, 0x82, 0x94, 0xf2, 0xe9, 0xa2, 0x27, 0x48, 0x6e,
		0x8b, 0x06, 0x1b, 0x31, 0xcc, 0x52, 0x8f, 0xd7, 0xfa, 0x3f, 0x19 };
	auto_free char *text = words_text(bytes, sizeof(bytes), 0);
	auto_free char *lines = words_text(bytes, 3, 2);

	CHECK_TEXT(text, "topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator "
			 "goldfish Medusa afflict bravado chatter revolver Dupont midsummer "
			 "stopwatch whimsical cowbell bottomless");
	CHECK_TEXT(lines, "topmost Istanbul\nPluto");
}

/* Each byte has its own word at each place, and no word stands in both lists. */
static void words_differ(void)
{
	unsigned twins = 0;

	for (unsigned a = 0; a < 512; a++) {
		const char *word = words_of((unsigned char)a, a / 256);

		CHECK(strlen(word) < WORDS_LONGEST);
		for (unsigned b = 0; b < a; b++)
			twins += strcmp(word, words_of((unsigned char)b, b / 256)) == 0;
	}
	CHECK_NUMBER(twins, 0);
}

static void list(void)
{
	auto_json json_t *peers = json_array();
	struct err err = { 0 };

	CHECK(peers_add(peers, "globex", ONE, &err) == 0);
	CHECK_FAILS(peers_add(peers, "globex", TWO, &err), &err, "peer.exists");
	CHECK_FAILS(peers_add(peers, "another", ONE, &err), &err, "peer.exists");
	CHECK_FAILS(peers_add(peers, "-x", TWO, &err), &err, "peer.name");
	CHECK_FAILS(peers_add(peers, "", TWO, &err), &err, "peer.name");
	CHECK_FAILS(peers_add(peers, "x", "sha256:1", &err), &err, "digest.invalid");
	err_clear(&err);
	CHECK(peers_require(peers, ONE, "a key", &err) == 0);
	CHECK_FAILS(peers_require(peers, TWO, "a key", &err), &err, "peer.unpinned");
	CHECK_TEXT(json_text(peers_of_key(peers, ONE), "name"), "globex");
	CHECK_FAILS(peers_remove(peers, "nobody", &err), &err, "peer.not_found");
	err_clear(&err);
	CHECK(peers_remove(peers, "globex", &err) == 0 && json_array_size(peers) == 0);
}

static void file(void)
{
	static const char *const bad[] = { "[]", "{\"v\":\"strongroom-peers-2\",\"peers\":[]}",
		"{\"v\":\"strongroom-peers-1\",\"peers\":{}}",
		"{\"v\":\"strongroom-peers-1\",\"peers\":[{\"name\":\"x\"}]}",
		"{\"v\":\"strongroom-peers-1\",\"peers\":[{\"name\":\"x\",\"spki\":\"y\"}]}" };
	char dir[] = "/tmp/test_client_peers.XXXXXX";
	struct profile profile = { .name = dir, .dir = mkdtemp(dir) };
	auto_free char *path = mem_printf("%s/peers.json", dir);
	json_t *peers = NULL;
	struct err err = { 0 };

	CHECK(peers_load(&profile, &peers, &err) == 0 && json_array_size(peers) == 0);
	CHECK(peers_add(peers, "globex", ONE, &err) == 0);
	CHECK(peers_save(&profile, peers, &err) == 0);
	json_decref(peers);
	CHECK(peers_load(&profile, &peers, &err) == 0 && peers_of_name(peers, "globex") != NULL);
	json_decref(peers);
	chmod(path, 0644);
	CHECK_FAILS(peers_load(&profile, &peers, &err), &err, "profile.permissions");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&err);
		CHECK(buf_write_file(path, bad[i], strlen(bad[i]), 0600, &err) == 0);
		CHECK_FAILS(peers_load(&profile, &peers, &err), &err, "peer.list_invalid");
	}
	unlink(path);
	rmdir(dir);
}

static void secrets(void)
{
	struct secret key, invitation, read;
	struct err err = { 0 };

	secret_new_key(&key);
	secret_new_invitation(&invitation);
	CHECK(id_is(key.id, "key") && id_is(invitation.id, "inv"));
	CHECK(strlen(key.text) == 3 + 32 + 1 + 43 && strlen(invitation.text) == 4 + 32 + 1 + 43);
	CHECK(secret_read(key.text, &read, &err) == 0);
	CHECK_TEXT(read.id, key.id);
	CHECK_TEXT(read.hash, key.hash);
	CHECK(secret_read(invitation.text, &read, &err) == 0);
	CHECK_TEXT(read.hash, invitation.hash);
	CHECK_FAILS(secret_read(key.text + 1, &read, &err), &err, "secret.malformed");
	key.text[10] = 'g';
	CHECK_FAILS(secret_read(key.text, &read, &err), &err, "secret.malformed");
	CHECK_FAILS(secret_read("", &read, &err), &err, "secret.malformed");
}

int main(void)
{
	words();
	words_differ();
	list();
	file();
	secrets();
	CHECK_DONE();
}
