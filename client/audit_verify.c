/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An export is a list of leaves in order with the signed heads between them. Each own record must
 * give its leaf's hash; the leaves up to a head must give its root; a tenant's records are numbered
 * without a gap. So the first thing that is wrong has a name, and memory is a line and a tree's
 * edge.
 */
#include "client/audit_verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"

struct reading {
	struct audit_verify *out;
	struct note_key key;
	char *tenant;
	struct merkle_tree tree;
	unsigned long long head_size; /* of the newest head so far */
	bool ended;
};

static int bad_line(struct err *err, const char *why)
{
	return err_set(err, ERR_UNPROCESSABLE, "log.bad_export", "%s", why);
}

static bool number_of(const json_t *object, const char *name, unsigned long long *ret_number)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret_number = (unsigned long long)json_integer_value(value);
	return true;
}

/* --- lines --- */

static int read_first(struct reading *reading, const json_t *line, struct err *err)
{
	const char *key = json_text(line, "key"), *version = json_text(line, "v");
	const char *tenant = json_text(line, "tenant");
	auto_free char *text = NULL;

	if (!version || strcmp(version, "strongroom-audit-export-1") != 0 || !key || !tenant)
		return bad_line(err, "the file is no export of an audit log");
	if (reading->out->key)
		reading->key = *reading->out->key;
	else if (note_key_parse(key, &reading->key, err) < 0)
		return -1;
	text = note_key_text(&reading->key);
	snprintf(reading->out->key_text, sizeof(reading->out->key_text), "%s", text);
	reading->tenant = mem_strdup(tenant);
	return 0;
}

/* The record as people look for it. */
static int altered(struct err *err, unsigned long long leaf, const json_t *record)
{
	const char *id = json_text(record, "id"), *action = json_text(record, "action");

	return err_set(err, ERR_FORBIDDEN, "log.record_altered",
		"leaf %llu is the first that was altered: record %s, %s", leaf,
		id ? id : "without id", action ? action : "without action");
}

static int check_record(struct reading *reading, const json_t *line, unsigned long long leaf,
	const struct merkle_hash *hash, struct err *err)
{
	const json_t *record = json_object_get(line, "record"),
		     *salt = json_object_get(line, "salt");
	auto_json json_t *input = json_pack("{s:O,s:O}", "record", record, "salt", salt);
	const char *tenant = json_text(record, "tenant");
	auto_free char *text = NULL;
	struct merkle_hash made;
	unsigned long long seq;
	size_t len;

	if (!input || jcs_encode(input, &text, &len, err) < 0)
		return bad_line(err, "a record has no salt or no canonical form");
	merkle_leaf(text, len, &made);
	if (memcmp(&made, hash, sizeof(made)) != 0 || !tenant ||
		strcmp(tenant, reading->tenant) != 0 || !number_of(record, "seq", &seq))
		return altered(err, leaf, record);
	if (seq != reading->out->records + 1)
		return err_set(err, ERR_FORBIDDEN, "log.record_missing",
			"record %llu of the tenant is the first that is missing, before leaf %llu",
			reading->out->records + 1, leaf);
	reading->out->records++;
	return 0;
}

/* A tree that we know ends here: its root must be this. */
static int check_known(struct reading *reading, struct err *err)
{
	const struct checkpoint *known = reading->out->known;
	struct merkle_hash root;

	if (!known || known->size != reading->tree.size)
		return 0;
	merkle_root(&reading->tree, &root);
	if (memcmp(&root, &known->root, sizeof(root)) == 0)
		return 0;
	return err_set(err, ERR_FORBIDDEN, "log.inconsistent",
		"the log's first %llu leaves are not those of the checkpoint that was kept",
		known->size);
}

static int read_leaf(struct reading *reading, const json_t *line, struct err *err)
{
	struct merkle_node nodes[MERKLE_MAX_LEVELS];
	const char *hex = json_text(line, "hash");
	struct merkle_hash hash;
	unsigned long long leaf;

	if (!hex || codec_hex_decode(hex, hash.bytes, DIGEST_SIZE, NULL) < 0 ||
		!number_of(line, "leaf", &leaf))
		return bad_line(err, "a leaf has no number or no hash");
	if (leaf != reading->tree.size)
		return err_set(err, ERR_FORBIDDEN, "log.leaf_missing",
			"leaf %llu is the first that was dropped or moved: leaf %llu stands in its "
			"place",
			reading->tree.size, leaf);
	if (json_object_get(line, "record") && check_record(reading, line, leaf, &hash, err) < 0)
		return -1;
	(void)merkle_append(&reading->tree, &hash, nodes);
	return check_known(reading, err);
}

static int read_head(struct reading *reading, const char *note, struct err *err)
{
	struct checkpoint head;
	struct merkle_hash root;

	if (checkpoint_verify(note, strlen(note), &reading->key, &head, err) < 0)
		return err_wrap(err, "the head behind leaf %llu", reading->tree.size);
	merkle_root(&reading->tree, &root);
	if (head.size != reading->tree.size)
		return bad_line(err, "a head does not stand behind its last leaf");
	if (memcmp(&root, &head.root, sizeof(root)) != 0)
		return err_set(err, ERR_FORBIDDEN, "log.wrong_root",
			"the leaves %llu to %llu are not those that were signed: one of them was "
			"altered together with its hash",
			reading->head_size, head.size - 1);
	reading->head_size = head.size;
	reading->out->heads++;
	return 0;
}

static int read_end(struct reading *reading, const json_t *end, struct err *err)
{
	unsigned long long size, records;

	if (!number_of(end, "size", &size) || !number_of(end, "records", &records))
		return bad_line(err, "the last line does not count");
	reading->ended = true;
	if (size != reading->tree.size)
		return err_set(err, ERR_FORBIDDEN, "log.leaf_missing",
			"leaf %llu is the first that was dropped: the log has %llu",
			reading->tree.size, size);
	if (records != reading->out->records)
		return err_set(err, ERR_FORBIDDEN, "log.record_missing",
			"record %llu of the tenant is the first that is missing: it has %llu",
			reading->out->records + 1, records);
	return 0;
}

static int read_line(struct reading *reading, const char *text, size_t len, struct err *err)
{
	auto_json json_t *line = json_parse(text, len, err);

	if (!line)
		return -1;
	if (!reading->tenant)
		return read_first(reading, line, err);
	if (reading->ended)
		return bad_line(err, "there is a line behind the last one");
	if (json_text(line, "head"))
		return read_head(reading, json_text(line, "head"), err);
	if (json_object_get(line, "end"))
		return read_end(reading, json_object_get(line, "end"), err);
	return read_leaf(reading, line, err);
}

/* --- the file --- */

static int read_lines(struct reading *reading, FILE *file, struct err *err)
{
	auto_free char *text = NULL;
	unsigned long long number = 0;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&text, &size, file)) > 0) {
		number++;
		if (read_line(reading, text, (size_t)len, err) < 0)
			return err_wrap(err, "line %llu", number);
	}
	return ferror(file) ? err_errno(err, "read the export") : 0;
}

static int check_whole(const struct reading *reading, struct err *err)
{
	const struct checkpoint *known = reading->out->known;

	if (!reading->ended || reading->head_size != reading->tree.size)
		return err_set(err, ERR_FORBIDDEN, "log.truncated",
			"the export ends before its end, behind leaf %llu", reading->tree.size);
	if (known && known->size > reading->tree.size)
		return err_set(err, ERR_FORBIDDEN, "log.inconsistent",
			"the log has %llu leaves, and had %llu when the checkpoint was kept",
			reading->tree.size, known->size);
	return 0;
}

int audit_verify_file(const char *path, struct audit_verify *verify, struct err *err)
{
	struct reading reading = { .out = verify };
	auto_file FILE *file = fopen(path, "re");
	int result;

	if (!file)
		return err_errno(err, "open '%s'", path);
	result = read_lines(&reading, file, err);
	if (result == 0)
		result = check_whole(&reading, err);
	verify->leaves = reading.tree.size;
	merkle_root(&reading.tree, &verify->root);
	free(reading.tenant);
	return result;
}
