/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each second: ask every service for its oldest records, naming those that were taken over last, so
 * that it forgets them; then append all in one transaction: records, hashes, one signed head, and
 * what was taken. What dies in between is asked again, and a record that is in the log already is
 * left out. Copies of certreg take turns by the lock on `audit_taken`; who finds that another was
 * faster drops what it fetched.
 */
#include "services/certreg/audit_append.h"

#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/peer.h"
#include "lib/service.h"
#include "services/certreg/audit_key.h"
#include "services/certreg/store_audit.h"

#define SALT_BYTES 32
#define MAX_RANGES_BYTES 32768
#define BUSY_MS 50

static const struct source {
	const char *name;
	enum peer peer;
} sources[] = {
	{ "certreg", PEER_CERTREG },
	{ "provisioner", PEER_PROVISIONER },
	{ "registry-gw", PEER_REGISTRY_GW },
	{ "policy", PEER_POLICY },
	{ "orchestrator", PEER_ORCHESTRATOR },
};

struct batch {
	const struct audit_key *key;
	json_t *before; /* what was taken when the rows were asked for */
	json_t *rows;	/* [{service,tenant,id,record}] */
	json_t *taken;	/* [{service,ids}] of the services that had rows */
	bool more;	/* some service has more than it gave */
	bool stale;	/* another copy was faster */
};

/* --- asking --- */

/* "{[1,4),[7,8)}" of ascending ids. */
static char *ranges_of(const json_t *items)
{
	auto_buf text = BUF_INIT(MAX_RANGES_BYTES);
	long long first = 0, end = -1;
	const json_t *item;
	size_t i;

	(void)buf_add_text(&text, "{", NULL);
	json_array_foreach (items, i, item) {
		long long id = json_integer_value(json_object_get(item, "id"));

		if (id != end && end >= 0)
			(void)buf_printf(&text, NULL, "[%lld,%lld),", first, end);
		if (id != end)
			first = id;
		end = id + 1;
	}
	(void)buf_printf(&text, NULL, "[%lld,%lld)}", first, end);
	return mem_strdup((const char *)text.data);
}

static int fetch(struct worker *worker, const struct source *source, const char *taken,
	json_t **ret_items, struct err *err)
{
	auto_free char *encoded = codec_b64url_text(taken, strlen(taken));
	auto_free char *path = mem_printf("/internal/v1/feed?taken=%s", encoded);
	auto_json json_t *answer = NULL;

	if (source->peer == PEER_CERTREG)
		return audit_feed(worker->db, taken, ret_items, err);
	if (peer_get(worker, source->peer, path, &answer, err) < 0)
		return -1;
	if (!json_is_array(json_object_get(answer, "items")))
		return err_set(err, ERR_UPSTREAM, "audit.bad_feed", "%s: no list of records",
			source->name);
	*ret_items = json_incref(json_object_get(answer, "items"));
	return 0;
}

/* A row as the batch keeps it; NULL: no record of ours. */
static json_t *row_of(const struct source *source, const json_t *item)
{
	const char *text = json_text(item, "record");
	auto_json json_t *record = text ? json_parse(text, strlen(text), NULL) : NULL;
	const char *id = json_text(record, "id"), *tenant = json_text(record, "tenant");

	if (!id || !tenant || !json_text(record, "time") || !json_text(record, "action") ||
		!json_text(record, "outcome"))
		return NULL;
	return json_pack("{s:s,s:s,s:s,s:O}", "service", source->name, "tenant", tenant, "id", id,
		"record", record);
}

static int ask(
	struct worker *worker, const struct source *source, struct batch *batch, struct err *err)
{
	auto_json json_t *items = NULL;
	auto_free char *ranges = NULL;
	const json_t *item;
	size_t i;

	if (fetch(worker, source, json_text(batch->before, source->name), &items, err) < 0)
		return -1;
	if (json_array_size(items) == 0)
		return 0;
	json_array_foreach (items, i, item) {
		json_t *row = row_of(source, item);

		if (!row)
			return err_set(err, ERR_UPSTREAM, "audit.bad_feed",
				"%s: row %lld is no record", source->name,
				(long long)json_integer_value(json_object_get(item, "id")));
		json_array_append_new(batch->rows, row);
	}
	ranges = ranges_of(items);
	json_array_append_new(batch->taken,
		json_pack("{s:s,s:s}", "service", source->name, "ids", (const char *)ranges));
	batch->more |= json_array_size(items) == AUDIT_FEED_ROWS;
	return 0;
}

/* A service that is down or says nonsense holds up nobody but itself. */
static void ask_all(struct worker *worker, struct batch *batch)
{
	const struct service_conf *conf = worker->conf;
	const char *const urls[] = { "", conf->provisioner_url, conf->registry_gw_url,
		conf->policy_url, conf->orchestrator_url };

	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		struct err err = { .kind = ERR_NONE };

		if ((i > 0 && !*urls[i]) || ask(worker, &sources[i], batch, &err) == 0)
			continue;
		err_wrap(&err, "%s", sources[i].name);
		log_failure("audit records are not fetched", &err);
	}
}

/* --- appending --- */

/* The tree as the newest head says, its peaks from the database; they must fit each other. */
static int read_tree(struct db *db, const struct audit_key *key, const char *note,
	struct merkle_tree *ret_tree, struct err *err)
{
	struct merkle_node nodes[MERKLE_MAX_LEVELS];
	struct merkle_tree tree = { .size = 0 };
	struct checkpoint checkpoint;
	struct merkle_hash root;
	size_t count;

	if (checkpoint_verify(note, strlen(note), &key->own, &checkpoint, err) < 0)
		return err_wrap(err, "the newest head");
	tree.size = checkpoint.size;
	count = merkle_nodes((struct merkle_range) { 0, tree.size }, nodes);
	if (store_audit_nodes(db, true, nodes, count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		tree.peaks[nodes[i].level] = nodes[i].hash;
	merkle_root(&tree, &root);
	if (memcmp(&root, &checkpoint.root, sizeof(root)) != 0)
		return err_set(err, ERR_INTERNAL, "audit.damaged",
			"the hashes of the log do not give the root of its head at %llu",
			tree.size);
	*ret_tree = tree;
	return 0;
}

/* Canonical bytes of a leaf; `record` is canonical, and sorts before `salt`. */
static void hash_leaf(const char *record, const char *salt, struct merkle_hash *ret_hash)
{
	auto_free char *leaf = mem_printf("{\"record\":%s,\"salt\":\"%s\"}", record, salt);

	merkle_leaf(leaf, strlen(leaf), ret_hash);
}

static void add_nodes(struct merkle_tree *tree, const struct merkle_hash *leaf, json_t *nodes_out)
{
	struct merkle_node nodes[MERKLE_MAX_LEVELS];
	size_t count = merkle_append(tree, leaf, nodes);
	char hex[CODEC_HEX_SIZE(DIGEST_SIZE)];

	for (size_t i = 0; i < count; i++) {
		codec_hex(nodes[i].hash.bytes, DIGEST_SIZE, hex);
		json_array_append_new(
			nodes_out, json_pack("{s:i,s:I,s:s}", "level", (int)nodes[i].level, "place",
					   (json_int_t)nodes[i].index, "hash", (const char *)hex));
	}
}

/* Sets what is certreg's to say in the record, anew when the transaction is repeated. */
static int add_record(const json_t *row, long long seq, struct merkle_tree *tree,
	struct store_audit_batch *out, struct err *err)
{
	json_t *record = json_object_get(row, "record");
	auto_free char *text = NULL, *salt = NULL;
	unsigned char random[SALT_BYTES];
	struct merkle_hash leaf;
	size_t len;

	json_object_set(record, "service", json_object_get(row, "service"));
	json_object_set_new(record, "seq", json_integer(seq));
	if (jcs_encode(record, &text, &len, err) < 0)
		return -1;
	rand_bytes(random, sizeof(random));
	salt = codec_b64url_text(random, sizeof(random));
	hash_leaf(text, salt, &leaf);
	json_array_append_new(out->records,
		json_pack("{s:O,s:I,s:I,s:O,s:O,s:O,s:O,s:O*,s:O*,s:O,s:O*,s:s,s:s}", "tenant",
			json_object_get(row, "tenant"), "seq", (json_int_t)seq, "leaf",
			(json_int_t)tree->size, "id", json_object_get(row, "id"), "at",
			json_object_get(record, "time"), "service", json_object_get(row, "service"),
			"action", json_object_get(record, "action"), "subject",
			json_object_get(json_object_get(record, "who"), "sub"), "resource",
			json_object_get(record, "on"), "outcome",
			json_object_get(record, "outcome"), "code", json_object_get(record, "code"),
			"salt", salt, "record", text));
	add_nodes(tree, &leaf, out->nodes);
	return 0;
}

/* Numbers each tenant's records upwards in the order in which they came. */
static int add_records(struct db *db, json_t *rows, struct merkle_tree *tree,
	struct store_audit_batch *out, struct err *err)
{
	auto_json json_t *last = NULL, *behind = json_object();
	const json_t *row;
	size_t i;

	if (store_audit_count(db, rows, &last, err) < 0)
		return -1;
	json_array_foreach (rows, i, row) { /* how many of a tenant there are in the batch */
		const char *tenant = json_text(row, "tenant");
		json_int_t count = json_integer_value(json_object_get(behind, tenant));

		json_object_set_new(behind, tenant, json_integer(count + 1));
	}
	json_array_foreach (rows, i, row) {
		const char *tenant = json_text(row, "tenant");
		json_int_t left = json_integer_value(json_object_get(behind, tenant)) - 1;

		json_object_set_new(behind, tenant, json_integer(left));
		if (add_record(row, json_integer_value(json_object_get(last, tenant)) - left, tree,
			    out, err) < 0)
			return -1;
	}
	return 0;
}

static int write_batch(struct db *db, const struct batch *batch, json_t *rows,
	struct merkle_tree *tree, struct err *err)
{
	auto_json json_t *records = json_array(), *nodes = json_array();
	struct store_audit_batch out = {
		.records = records, .nodes = nodes, .taken = batch->taken
	};
	struct checkpoint head = { .size = 0 };
	auto_free char *note = NULL;

	if (add_records(db, rows, tree, &out, err) < 0)
		return -1;
	memcpy(head.origin, batch->key->own.name, sizeof(head.origin));
	head.size = tree->size;
	merkle_root(tree, &head.root);
	note = checkpoint_sign(batch->key->private_key, &batch->key->own, &head, err);
	if (!note)
		return -1;
	out.size = head.size;
	out.note = note;
	return store_audit_append(db, &out, err);
}

static int append_work(struct db *db, void *arg, struct err *err)
{
	struct batch *batch = arg;
	auto_json json_t *taken = NULL, *rows = json_copy(batch->rows);
	struct merkle_tree tree = { .size = 0 };
	auto_free char *note = NULL;

	if (store_audit_taken_lock(db, &taken, err) < 0)
		return -1;
	batch->stale = !json_equal(taken, batch->before);
	if (batch->stale)
		return 0;
	if (store_audit_last(db, &note, err) < 0)
		return -1;
	if (note && read_tree(db, batch->key, note, &tree, err) < 0)
		return -1;
	if (store_audit_drop_known(db, rows, err) < 0)
		return -1;
	if (note && json_array_size(rows) == 0)
		return store_audit_taken_set(db, batch->taken, err);
	return write_batch(db, batch, rows, &tree, err);
}

int audit_append_start(struct worker *worker, struct err *err)
{
	auto_json json_t *before = NULL, *none = json_array();
	struct batch batch = { .key = certreg_of(worker)->audit, .rows = none, .taken = none };

	if (store_audit_taken(worker->db, &before, err) < 0)
		return -1;
	batch.before = before;
	return db_tx(worker->db, DB_SWEEP, append_work, &batch, err);
}

int audit_append(struct worker *worker, struct err *err)
{
	auto_json json_t *before = NULL, *rows = json_array(), *taken = json_array();
	struct batch batch = { .key = certreg_of(worker)->audit, .rows = rows, .taken = taken };

	if (store_audit_taken(worker->db, &before, err) < 0)
		return -1;
	batch.before = before;
	ask_all(worker, &batch);
	if (json_array_size(rows) == 0)
		return 0;
	if (db_tx(worker->db, DB_SWEEP, append_work, &batch, err) < 0)
		return -1;
	return batch.more && !batch.stale ? BUSY_MS : 0;
}
