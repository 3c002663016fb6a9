/* SPDX-License-Identifier: Apache-2.0 */
/* The first tenants of an instance. The key file is written before its row: a key nobody can read
 * is never made. */
#include "services/certreg/bootstrap.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/audit.h"
#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/credentials.h"
#include "services/certreg/keys.h"
#include "services/certreg/roles.h"
#include "services/certreg/store.h"

#define SECRET_BYTES 32
#define KEY_FILE_MAX 128

static const struct seat {
	const char *tenant, *member, *roles;
} seats[] = {
	{ "acme", "owner", "owner" },
	{ "acme", "algo", "algorithm-owner" },
	{ "acme", "data", "data-owner" },
	{ "acme", "audit", "auditor" },
	{ "globex", "owner", "owner" },
	{ SYSTEM_TENANT, "operator", "operator" },
};

static const char *wanted_dir; /* of the arguments */

int bootstrap_take(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], "--bootstrap") != 0)
			continue;
		wanted_dir = argv[i + 1];
		memmove(&argv[i], &argv[i + 2], (size_t)(argc - i - 1) * sizeof(*argv));
		return argc - 2;
	}
	return argc;
}

/* --- tenants and members --- */

struct finding {
	struct db *db;
	struct arena *arena;
	const char *name;
	struct tenant tenant; /* id NULL until found */
};

static int compare_tenant(const char *tenant_id, void *arg, struct err *err)
{
	struct finding *finding = arg;
	struct tenant tenant;

	if (store_tenant(finding->db, tenant_id, finding->arena, &tenant, err) < 0)
		return -1;
	if (strcmp(tenant.name, finding->name) == 0)
		finding->tenant = tenant;
	return 0;
}

static const char *new_id(struct arena *arena, const char *prefix)
{
	char *id = arena_alloc(arena, ID_SIZE);

	id_new(prefix, id);
	return id;
}

static int ensure_tenant(struct db *db, struct arena *arena, const char *name,
	struct tenant *ret_tenant, struct err *err)
{
	struct finding finding = { .db = db, .arena = arena, .name = name };

	if (store_tenants_each(db, compare_tenant, &finding, err) < 0)
		return -1;
	if (!finding.tenant.id) {
		finding.tenant = (struct tenant) {
			.id = strcmp(name, SYSTEM_TENANT) == 0 ? AUDIT_INSTANCE
							       : new_id(arena, "tnt"),
			.space = new_id(arena, "spc"),
			.name = name,
		};
		if (store_tenant_add(db, &finding.tenant, err) < 0)
			return err_wrap(err, "tenant '%s'", name);
	}
	*ret_tenant = finding.tenant;
	return 0;
}

static int ensure_member(struct db *db, struct arena *arena, const struct tenant *tenant,
	const struct seat *seat, struct member *ret_member, struct err *err)
{
	bool found;

	if (store_member_named(db, tenant->id, seat->member, arena, ret_member, &found, err) < 0)
		return -1;
	if (found)
		return 0;
	*ret_member = (struct member) { .id = new_id(arena, "mbr"),
		.name = seat->member,
		.kind = "person",
		.roles = seat->roles };
	return store_member_add(db, NULL, tenant, ret_member, err);
}

/* --- keys --- */

/* A new API key on one line. */
static int write_key(const char *path, struct err *err)
{
	unsigned char secret[SECRET_BYTES];
	char id[ID_SIZE], *text, *line;
	int result;

	id_new("key", id);
	rand_bytes(secret, sizeof(secret));
	text = codec_b64url_text(secret, sizeof(secret));
	line = mem_printf("sr_%s_%s\n", id + strlen("key_"), text);
	result = buf_write_file(path, line, strlen(line), 0600, err);
	explicit_bzero(secret, sizeof(secret));
	mem_wipe_free(text, strlen(text));
	mem_wipe_free(line, strlen(line));
	return result;
}

/* Id and hash of the key in the file. */
static int read_key(
	const char *path, char ret_id[ID_SIZE], char ret_hash[DIGEST_TEXT_SIZE], struct err *err)
{
	struct buf file = BUF_INIT(KEY_FILE_MAX);
	int result = buf_read_file(&file, path, err);
	char *text = (char *)file.data;

	if (result == 0) {
		if (file.len > 0)
			text[strcspn(text, "\n")] = '\0';
		if (file.len > 0 && credential_id_of(text, ret_id))
			digest_text(text, strlen(text), ret_hash);
		else
			result = err_set(err, ERR_INVALID, "bootstrap.bad_key_file",
				"'%s' holds no API key", path);
	}
	buf_wipe(&file);
	return result;
}

static int ensure_key_row(struct worker *worker, const struct tenant *tenant,
	const struct member *member, const char *path, struct err *err)
{
	char id[ID_SIZE], hash[DIGEST_TEXT_SIZE], mac[CREDENTIAL_MAC_SIZE];
	struct key key = { .id = id,
		.member = member->id,
		.name = "bootstrap",
		.mac = mac,
		.scopes = SCOPES_ALL };
	struct err failure;

	if (read_key(path, id, hash, err) < 0)
		return -1;
	credential_mac(certreg_of(worker), hash, mac);
	err_clear(&failure);
	if (store_key_add(worker->db, NULL, tenant->id, tenant->space, &key, &failure) == 0 ||
		strcmp(failure.code, "key.exists") == 0)
		return 0;
	*err = failure;
	return -1;
}

static int ensure_seat(
	struct worker *worker, const struct seat *seat, const char *dir, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	const char *path = arena_printf(arena, "%s/%s-%s.key", dir, seat->tenant, seat->member);
	struct tenant tenant;
	struct member member;
	struct stat info;

	if (ensure_tenant(worker->db, arena, seat->tenant, &tenant, err) < 0 ||
		ensure_member(worker->db, arena, &tenant, seat, &member, err) < 0)
		return -1;
	if (lstat(path, &info) < 0 && write_key(path, err) < 0)
		return -1;
	return ensure_key_row(worker, &tenant, &member, path, err);
}

static int run(struct worker *worker, const char *dir, struct err *err)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make the folder '%s'", dir);
	for (size_t i = 0; i < ARRAY_LEN(seats); i++) {
		if (ensure_seat(worker, &seats[i], dir, err) < 0)
			return err_wrap(err, "bootstrap %s-%s", seats[i].tenant, seats[i].member);
	}
	log_info("bootstrap done", "dir", dir, NULL);
	return 0;
}

int bootstrap_when_asked(struct worker *worker, struct err *err)
{
	if (!wanted_dir)
		return 0;
	if (run(worker, wanted_dir, err) < 0)
		return -1;
	_exit(0); /* no thread of the service has anything to finish */
}
