/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, choosing and making the issuer's keys. A set is read whole and takes the place of the
 * one before under the write lock. */
#include "services/certreg/signing_keys.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/id.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "services/certreg/certreg.h"
#include "services/certreg/issuer.h"

#define KEY_FILE_MAX (16 * 1024)
#define SKEW_SECONDS 60 /* of the services' clocks against ours */
#define SUFFIX ".pem"

struct signing_key {
	EVP_PKEY *key;
	json_t *jwk; /* public, with kid */
};

struct set {
	long long times[SIGNING_KEYS_MAX]; /* ascending */
	struct signing_key keys[SIGNING_KEYS_MAX];
	size_t count;
};

struct signing_keys {
	char *dir;
	pthread_rwlock_t lock;
	struct set set;
};

/* --- rules --- */

size_t signing_keys_choose(const long long *times, size_t count, long long now)
{
	size_t chosen = 0; /* should a clock have gone back: better the oldest than none */

	for (size_t i = 0; i < count; i++) {
		if (times[i] <= now)
			chosen = i;
	}
	return chosen;
}

bool signing_keys_is_published(const long long *times, size_t count, size_t index, long long now)
{
	return index + 1 >= count || times[index + 1] + TOKEN_SECONDS + SKEW_SECONDS > now;
}

/* --- files --- */

/* -1 for a name that is none of ours. */
static long long time_of(const char *name)
{
	size_t digits = strspn(name, "0123456789");

	if (digits == 0 || digits > 12 || strcmp(name + digits, SUFFIX) != 0)
		return -1;
	return strtoll(name, NULL, 10);
}

static int is_ours(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > strlen(SUFFIX) &&
	       strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX) == 0;
}

static int read_key(const char *path, struct signing_key *ret_key, struct err *err)
{
	char kid[JOSE_THUMBPRINT_SIZE];
	auto_buf pem = BUF_INIT(KEY_FILE_MAX);
	auto_json json_t *pair = NULL;
	auto_key EVP_PKEY *key = NULL;
	int result;

	if (buf_read_file(&pem, path, err) < 0)
		return -1;
	result = cert_key_read((const char *)pem.data, pem.len, &key, err);
	buf_wipe(&pem);
	if (result < 0 || jose_key_from_evp(key, "sig", &pair, err) < 0 ||
		jose_key_thumbprint(pair, kid, err) < 0)
		return -1;
	ret_key->jwk = jose_key_public(pair);
	json_object_set_new(ret_key->jwk, "kid", json_string(kid));
	ret_key->key = take_ptr(key);
	return 0;
}

static void set_release(struct set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		EVP_PKEY_free(set->keys[i].key);
		json_decref(set->keys[i].jwk);
	}
	set->count = 0;
}

static int by_time(const struct dirent **left, const struct dirent **right)
{
	long long a = time_of((*left)->d_name), b = time_of((*right)->d_name);

	return (a > b) - (a < b);
}

static int add_file(struct set *set, const char *dir, const char *name, struct err *err)
{
	auto_free char *path = mem_printf("%s/%s", dir, name);

	if (time_of(name) < 0)
		return err_set(err, ERR_INVALID, "config.bad_signing_key",
			"'%s' is not named by its activation in Unix seconds", path);
	if (set->count == SIGNING_KEYS_MAX)
		return err_set(err, ERR_INVALID, "config.bad_signing_key",
			"more than %d keys in '%s'", SIGNING_KEYS_MAX, dir);
	if (read_key(path, &set->keys[set->count], err) < 0)
		return err_wrap(err, "signing key '%s'", path);
	set->times[set->count++] = time_of(name);
	return 0;
}

static int read_set(const char *dir, struct set *ret_set, struct err *err)
{
	struct dirent **names = NULL;
	struct set set = { .count = 0 };
	int count = scandir(dir, &names, is_ours, by_time), result = 0;

	if (count < 0)
		return err_errno(err, "signing_keys_dir '%s'", dir);
	for (int i = 0; i < count; i++) {
		if (result == 0)
			result = add_file(&set, dir, names[i]->d_name, err);
		free(names[i]);
	}
	free(names);
	if (result == 0 && set.count == 0)
		result = err_set(err, ERR_INVALID, "config.no_signing_key",
			"no <activation>.pem in '%s'", dir);
	if (result < 0)
		set_release(&set);
	else
		*ret_set = set;
	return result;
}

/* --- the keys in use --- */

int signing_keys_open(const char *dir, struct signing_keys **ret_keys, struct err *err)
{
	struct signing_keys *keys;
	struct set set;

	if (read_set(dir, &set, err) < 0)
		return -1;
	keys = mem_alloc(sizeof(*keys));
	keys->dir = mem_strdup(dir);
	keys->set = set;
	pthread_rwlock_init(&keys->lock, NULL);
	*ret_keys = keys;
	return 0;
}

void signing_keys_free(struct signing_keys *keys)
{
	if (!keys)
		return;
	pthread_rwlock_destroy(&keys->lock);
	set_release(&keys->set);
	free(keys->dir);
	free(keys);
}

int signing_keys_reload(struct signing_keys *keys, struct err *err)
{
	struct set set, before;

	if (read_set(keys->dir, &set, err) < 0)
		return -1;
	pthread_rwlock_wrlock(&keys->lock);
	before = keys->set;
	keys->set = set;
	pthread_rwlock_unlock(&keys->lock);
	set_release(&before);
	return 0;
}

json_t *signing_keys_jwks(struct signing_keys *keys)
{
	const struct set *set = &keys->set;
	long long now = issuer_now();
	json_t *list = json_array();
	size_t signing;

	pthread_rwlock_rdlock(&keys->lock);
	signing = signing_keys_choose(set->times, set->count, now);
	json_array_append_new(list, json_deep_copy(set->keys[signing].jwk));
	for (size_t i = 0; i < set->count; i++) {
		if (i != signing && signing_keys_is_published(set->times, set->count, i, now))
			json_array_append_new(list, json_deep_copy(set->keys[i].jwk));
	}
	pthread_rwlock_unlock(&keys->lock);
	return json_pack("{s:o}", "keys", list);
}

/* Under the read lock, so that the key is nobody's to free before the signature is made. */
int signing_keys_sign(struct signing_keys *keys, const char *typ, const json_t *claims,
	char **ret_token, struct err *err)
{
	const struct set *set = &keys->set;
	const struct signing_key *key;
	int result;

	pthread_rwlock_rdlock(&keys->lock);
	key = &set->keys[signing_keys_choose(set->times, set->count, issuer_now())];
	result = jose_token_sign(key->key, typ, json_text(key->jwk, "kid"), claims, ret_token, err);
	pthread_rwlock_unlock(&keys->lock);
	return result;
}

/* --- rotation --- */

static void remove_dead(const char *dir, const struct set *set, long long now)
{
	for (size_t i = 0; i < set->count; i++) {
		auto_free char *path = mem_printf("%s/%lld%s", dir, set->times[i], SUFFIX);

		if (!signing_keys_is_published(set->times, set->count, i, now) && unlink(path) == 0)
			log_info("signing key removed", "file", path, NULL);
	}
}

int signing_keys_add(const char *dir, struct err *err)
{
	long long now = issuer_now();
	auto_free char *path = mem_printf("%s/%lld%s", dir, now + SIGNING_KEY_LEAD_SECONDS, SUFFIX);
	auto_key EVP_PKEY *key = NULL;
	struct set set;
	char *pem = NULL;
	int result;

	if (read_set(dir, &set, err) < 0)
		return -1;
	remove_dead(dir, &set, now);
	set_release(&set);
	if (cert_key_new(&key, err) < 0 || cert_key_write(key, &pem, err) < 0)
		return -1;
	result = buf_write_file(path, pem, strlen(pem), 0600, err);
	mem_wipe_free(pem, strlen(pem));
	if (result == 0)
		log_info("signing key made", "file", path, NULL);
	return result;
}

static bool is_asked;

int signing_keys_take(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--new-signing-key") != 0)
			continue;
		is_asked = true;
		memmove(&argv[i], &argv[i + 1], (size_t)(argc - i) * sizeof(*argv));
		return argc - 1;
	}
	return argc;
}

int signing_keys_when_asked(const char *dir, struct err *err)
{
	if (!is_asked)
		return 0;
	if (signing_keys_add(dir, err) < 0)
		return -1;
	_exit(0); /* no thread of the service has anything to finish */
}

int signing_keys_beat(struct worker *worker, struct err *err)
{
	return signing_keys_reload(certreg_of(worker)->secrets->signing_keys, err);
}
