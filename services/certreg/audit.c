/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routes of the log. Heads, hashes and proofs are everybody's: they say how much happened and
 * nothing else. Records are their tenant's owners', admins' and auditors'. A proof is made of
 * stored hashes, so it costs the logarithm of the log's size.
 */
#include "services/certreg/audit.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/audit_key.h"
#include "services/certreg/store_audit.h"

#define MAX_FILTER 200
#define MAX_DIGITS 16
#define MAX_LINE 512

/* --- records --- */

static int check_reader(const struct web_req *req, struct err *err)
{
	static const char *const roles[] = { "owner", "admin", "auditor", "operator" };

	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		if (principal_has_role(req->principal, roles[i]))
			return 0;
	}
	return err_set(err, ERR_FORBIDDEN, "auth.role_missing",
		"the audit log is for owner, admin and auditor");
}

static int bad_filter(struct err *err, const char *detail)
{
	return err_set(err, ERR_INVALID, "audit.bad_filter", "%s", detail);
}

static int read_filter(const struct web_req *req, struct audit_filter *ret_filter, struct err *err)
{
	const struct audit_filter filter = {
		.action = web_query(req, "action"),
		.who = web_query(req, "who"),
		.on = web_query(req, "on"),
		.outcome = web_query(req, "outcome"),
		.since = web_query(req, "since"),
	};
	const char *const texts[] = { filter.action, filter.who, filter.on };
	long long at;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (texts[i] && strlen(texts[i]) > MAX_FILTER)
			return bad_filter(err, "action, who and on have at most 200 bytes");
	}
	if (filter.outcome && strcmp(filter.outcome, "granted") != 0 &&
		strcmp(filter.outcome, "denied") != 0)
		return bad_filter(err, "outcome is granted or denied");
	if (filter.since && !clock_read_rfc3339(filter.since, &at))
		return bad_filter(err, "since is a time such as 2030-01-31T12:00:00Z");
	*ret_filter = filter;
	return 0;
}

int audit_list(struct web_req *req, struct web_res *res, struct err *err)
{
	struct audit_filter filter;
	struct page page;

	if (check_reader(req, err) < 0 || read_filter(req, &filter, err) < 0 ||
		resource_page(req, &page, err) < 0)
		return -1;
	return store_audit_list(
		req->worker->db, req->principal->tenant, &filter, &page, &res->json, err);
}

int audit_export(struct web_req *req, struct web_res *res, struct err *err)
{
	if (check_reader(req, err) < 0 ||
		audit_export_write(req, &res->file_fd, &res->file_len, err) < 0)
		return -1;
	res->content_type = "application/x-ndjson";
	return 0;
}

/* --- heads and proofs --- */

int audit_checkpoint(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_free char *key = NULL;
	unsigned long long size;

	if (store_audit_checkpoint(req->worker->db, req->arena, &res->text, &size, err) < 0)
		return -1;
	res->text_len = strlen(res->text);
	res->content_type = "text/plain; charset=utf-8";
	key = note_key_text(&certreg_of(req->worker)->audit->own);
	web_header_add(res, "Log-Key", arena_strdup(req->arena, key));
	web_header_add(res, "Cache-Control", "no-store");
	return 0;
}

static int number_of(const struct web_req *req, const char *name, unsigned long long *ret_number,
	struct err *err)
{
	const char *text = web_query(req, name);
	size_t len = text ? strlen(text) : 0;

	if (len == 0 || len > MAX_DIGITS || strspn(text, "0123456789") != len)
		return err_set(err, ERR_INVALID, "audit.bad_range",
			"'%s' must be a number of leaves", name);
	*ret_number = strtoull(text, NULL, 10);
	return 0;
}

/* One hash a range, all of their nodes by one statement. */
static int prove(struct web_req *req, const struct merkle_range *ranges, size_t count,
	json_t **ret_proof, struct err *err)
{
	struct merkle_node *nodes =
		arena_alloc(req->arena, (count * MERKLE_MAX_LEVELS + 1) * sizeof(*nodes));
	size_t counts[MERKLE_MAX_PROOF], total = 0, at = 0;

	for (size_t i = 0; i < count; i++) {
		counts[i] = merkle_nodes(ranges[i], nodes + total);
		total += counts[i];
	}
	if (store_audit_nodes(req->worker->db, false, nodes, total, err) < 0)
		return -1;
	*ret_proof = json_array();
	for (size_t i = 0; i < count; i++) {
		struct merkle_hash hash;
		auto_free char *text = NULL;

		merkle_fold(nodes + at, counts[i], &hash);
		at += counts[i];
		text = codec_b64_text(hash.bytes, DIGEST_SIZE);
		json_array_append_new(*ret_proof, json_string(text));
	}
	return 0;
}

/* That a range of the log is asked for which exists. */
static int check_size(struct web_req *req, unsigned long long size, struct err *err)
{
	unsigned long long newest;
	const char *note;

	if (store_audit_checkpoint(req->worker->db, req->arena, &note, &newest, err) < 0)
		return -1;
	if (size > newest)
		return err_set(err, ERR_INVALID, "audit.bad_range",
			"the newest signed head has %llu leaves", newest);
	return 0;
}

int audit_inclusion(struct web_req *req, struct web_res *res, struct err *err)
{
	struct merkle_range ranges[MERKLE_MAX_PROOF];
	unsigned long long index, size;
	json_t *proof;

	if (number_of(req, "index", &index, err) < 0 || number_of(req, "size", &size, err) < 0 ||
		check_size(req, size, err) < 0)
		return -1;
	if (index >= size)
		return err_set(err, ERR_INVALID, "audit.bad_range", "index must be below size");
	if (prove(req, ranges, merkle_inclusion(index, size, ranges), &proof, err) < 0)
		return -1;
	res->json = json_pack("{s:I,s:I,s:o}", "index", (json_int_t)index, "size", (json_int_t)size,
		"proof", proof);
	return 0;
}

int audit_consistency(struct web_req *req, struct web_res *res, struct err *err)
{
	struct merkle_range ranges[MERKLE_MAX_PROOF];
	unsigned long long from, to;
	size_t count;
	json_t *proof;

	if (number_of(req, "from", &from, err) < 0 || number_of(req, "to", &to, err) < 0 ||
		check_size(req, to, err) < 0)
		return -1;
	if (from > to)
		return err_set(err, ERR_INVALID, "audit.bad_range", "from must not pass to");
	count = from > 0 ? merkle_consistency(from, to, ranges) : 0;
	if (prove(req, ranges, count, &proof, err) < 0)
		return -1;
	res->json = json_pack(
		"{s:I,s:I,s:o}", "from", (json_int_t)from, "to", (json_int_t)to, "proof", proof);
	return 0;
}

/* --- witnesses --- */

static const struct note_key *signer_of(
	const struct audit_key *key, const char *note, struct err *err)
{
	for (size_t i = 0; i < key->n_witnesses; i++) {
		struct err failure = { .kind = ERR_NONE };

		if (note_verify(note, strlen(note), &key->witnesses[i], NULL, &failure) == 0)
			return &key->witnesses[i];
		if (strcmp(failure.code, "log.unsigned") != 0) {
			*err = failure;
			return NULL;
		}
	}
	err_set(err, ERR_FORBIDDEN, "audit.unknown_witness",
		"the line is by no witness of this instance");
	return NULL;
}

struct cosignature {
	long long size;
	const char *signature;
};

static const struct json_field cosignature_fields[] = {
	{ "size", JSON_FIELD_COUNT, offsetof(struct cosignature, size), true, 1ll << 53 },
	{ "signature", JSON_FIELD_TEXT, offsetof(struct cosignature, signature), true, MAX_LINE },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* Its signature is what lets a witness in. */
int audit_cosign(struct web_req *req, struct web_res *res, struct err *err)
{
	struct cosignature input = { .size = 0 };
	const struct note_key *witness;
	const char *note, *line;
	size_t len;

	if (auth_limit_attempt(req->worker->auth, req, NULL, err) < 0 ||
		json_decode(req->arena, req->json, cosignature_fields, &input, err) < 0)
		return -1;
	len = strlen(input.signature);
	if (len < 2 || strchr(input.signature, '\n') != input.signature + len - 1)
		return err_set(err, ERR_INVALID, "audit.bad_signature",
			"the signature is one line of a note, with its newline");
	if (store_audit_head(
		    req->worker->db, (unsigned long long)input.size, req->arena, &note, err) < 0)
		return -1;
	if (!note)
		return err_set(err, ERR_NOT_FOUND, "audit.no_head",
			"no signed head has %lld leaves", input.size);
	line = arena_printf(req->arena, "%s%s", note, input.signature);
	witness = signer_of(certreg_of(req->worker)->audit, line, err);
	if (!witness)
		return -1;
	res->status = 204;
	return store_audit_cosign(req->worker->db, (unsigned long long)input.size, witness->name,
		input.signature, err);
}
