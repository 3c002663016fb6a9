/* SPDX-License-Identifier: Apache-2.0 */
/* The one way in for manifests, whoever brings them: a PUT, an archive, a rewrap. */
#include <string.h>

#include "lib/digest.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/blobs.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/manifest_backend.h"
#include "services/registry-gw/manifest_check.h"
#include "services/registry-gw/signature.h"
#include "services/registry-gw/store_rule.h"

/* One on its way in, and those that come along and were checked before it. */
struct arrival {
	struct web_req *req;
	const struct access *access;
	const struct manifest *others;
	size_t n_others;
	struct rule rule;
	const json_t *document;
	struct manifest_facts facts;
};

static int check_blobs(const struct arrival *arrival, const char *links, struct err *err)
{
	const char *missing;

	if (store_blob_missing(arrival->req, arrival->access, links, &missing, err) < 0)
		return -1;
	if (!missing)
		return 0;
	return err_set(err, ERR_INVALID, "manifest.blob_unknown",
		"the manifest names '%s', which was not uploaded to '%s'", missing,
		arrival->access->repository);
}

static const char *as_text(struct web_req *req, const json_t *value)
{
	auto_free char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

	return text ? arena_strdup(req->arena, text) : NULL;
}

static const char *copy(struct web_req *req, const char *text)
{
	return text ? arena_strdup(req->arena, text) : NULL;
}

/* --- an index --- */

static int child_refused(const char *code, const char *child, const char *why, struct err *err)
{
	return err_set(err, ERR_FORBIDDEN, code, "the index names '%s': %s", child, why);
}

static const struct manifest *find_other(const struct arrival *arrival, const char *digest)
{
	for (size_t i = 0; i < arrival->n_others; i++) {
		if (strcmp(arrival->others[i].digest, digest) == 0)
			return &arrival->others[i];
	}
	return NULL;
}

/* What comes along adds to the facts of the index; the links to all else, as text. */
static const char *take_others(const struct arrival *arrival, struct manifest *manifest)
{
	auto_json json_t *rest = json_array();
	json_t *link;
	size_t i;

	manifest->encrypted = true;
	manifest->total = (long long)manifest->size;
	json_array_foreach (arrival->facts.links, i, link) {
		const struct manifest *child =
			find_other(arrival, json_string_value(json_array_get(link, 1)));

		if (!child) {
			json_array_append(rest, link);
			continue;
		}
		manifest->encrypted = manifest->encrypted && child->encrypted;
		manifest->total += child->total;
	}
	return as_text(arrival->req, rest);
}

/* The children were checked when they came, maybe under another rule. */
static int check_children(const struct arrival *arrival, struct manifest *manifest, struct err *err)
{
	const char *links = take_others(arrival, manifest);
	struct children children;

	if (store_children(arrival->req, arrival->access, links, &arrival->rule, &children, err) <
		0)
		return -1;
	if (children.missing)
		return err_set(err, ERR_INVALID, "manifest.blob_unknown",
			"the index names '%s', which is not in '%s'", children.missing,
			arrival->access->repository);
	if (children.plain && arrival->rule.mode == RULE_ENCRYPTED_ONLY)
		return child_refused("manifest.not_encrypted", children.plain,
			"only encrypted images, and that has a layer in clear", err);
	if (children.crowded)
		return child_refused("manifest.too_many_recipients", children.crowded,
			"it is encrypted to more recipients than the rule allows", err);
	if (children.unreadable)
		return child_refused("manifest.recipient_missing", children.unreadable,
			"it has no key packet for each that the rule wants", err);
	manifest->encrypted = manifest->encrypted && !children.plain;
	manifest->total += children.bytes;
	return 0;
}

/* --- an image --- */

/* Where the rule names no key, and in an open registry when the signatures are others', they are
 * layers like all. */
static int check_signatures(
	const struct arrival *arrival, struct manifest *manifest, struct err *err)
{
	const struct rule *rule = &arrival->rule;
	struct err inner = { .kind = ERR_NONE };
	auto_json json_t *signatures = NULL;

	if (signature_verify(arrival->req, arrival->access, rule, arrival->document, &signatures,
		    &inner) < 0) {
		if (rule->mode == RULE_OPEN && inner.kind == ERR_FORBIDDEN)
			return 0;
		*err = inner;
		return -1;
	}
	manifest->kind = "signature";
	manifest->signatures = as_text(arrival->req, signatures);
	return 0;
}

static int check_layers(const struct arrival *arrival, struct manifest *manifest, struct err *err)
{
	const struct manifest_facts *facts = &arrival->facts;
	struct recipients found = recipients_of(facts->layers);
	auto_json json_t *list = found.list;

	manifest->encrypted = facts->encrypted;
	manifest->layers = (long long)json_array_size(facts->layers);
	manifest->total = facts->bytes + (long long)manifest->size;
	manifest->recipients = as_text(arrival->req, list);
	manifest->layer_recipients = found.most;
	if (facts->signature && json_array_size(arrival->rule.signers) > 0 &&
		check_signatures(arrival, manifest, err) < 0)
		return -1;
	if (!manifest->signatures && rule_admit(&arrival->rule, facts, err) < 0)
		return -1;
	return check_blobs(arrival, manifest->links, err);
}

/* --- the way in --- */

static int read_document(const struct manifest_bytes *bytes, json_t **ret_document, struct err *err)
{
	struct err inner = { .kind = ERR_NONE };

	*ret_document = json_parse(bytes->data, bytes->len, &inner);
	if (*ret_document)
		return 0;
	return err_set(err, ERR_INVALID, "manifest.invalid", "%s", inner.detail);
}

static int check_facts(struct arrival *arrival, struct manifest *manifest, struct err *err)
{
	const struct manifest_facts *facts = &arrival->facts;
	struct web_req *req = arrival->req;

	manifest->kind = facts->index ? "index" : "image";
	manifest->recipients = "[]";
	manifest->links = as_text(req, facts->links);
	manifest->subject = copy(req, facts->subject);
	manifest->artifact_type = copy(req, facts->artifact_type);
	manifest->annotations = as_text(req, facts->annotations);
	if (store_rule_get(req, arrival->access->tenant, &arrival->rule, err) < 0)
		return -1;
	manifest->rule = rule_mode_name(arrival->rule.mode);
	return facts->index ? check_children(arrival, manifest, err)
			    : check_layers(arrival, manifest, err);
}

static int check(struct arrival *arrival, const struct manifest_bytes *bytes,
	struct manifest *manifest, struct err *err)
{
	auto_json json_t *document = NULL;
	int result;

	if (read_document(bytes, &document, err) < 0 ||
		manifest_check(document, manifest->media_type, &arrival->facts, err) < 0)
		return -1;
	arrival->document = document;
	result = check_facts(arrival, manifest, err);
	manifest_facts_release(&arrival->facts);
	return result;
}

int manifest_examine(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, struct err *err)
{
	auto_json json_t *document = NULL;
	struct manifest_facts facts;
	struct rule rule;
	int result;

	if (read_document(bytes, &document, err) < 0 ||
		manifest_check(document, bytes->media_type, &facts, err) < 0)
		return -1;
	result = store_rule_get(req, access->tenant, &rule, err);
	if (result == 0 && !facts.index && !(facts.signature && json_array_size(rule.signers) > 0))
		result = rule_admit(&rule, &facts, err);
	manifest_facts_release(&facts);
	return result;
}

static int prepare(struct arrival *arrival, const struct manifest_bytes *bytes,
	struct manifest *ret_manifest, struct err *err)
{
	struct arena *arena = arrival->req->arena;
	char *digest = arena_alloc(arena, DIGEST_TEXT_SIZE), *id = arena_alloc(arena, ID_SIZE);

	id_new("img", id);
	digest_text(bytes->data, bytes->len, digest);
	*ret_manifest = (struct manifest) {
		.digest = digest,
		.id = id,
		.size = bytes->len,
		.media_type = bytes->media_type,
		.tags = bytes->tags ? as_text(arrival->req, bytes->tags) : "[]",
		.replaces = bytes->replaces,
	};
	if (bytes->digest && strcmp(bytes->digest, digest) != 0)
		return err_set(err, ERR_INVALID, "manifest.digest",
			"the bytes have the digest '%s'", digest);
	return check(arrival, bytes, ret_manifest, err);
}

/* First the word that it comes, then the bytes; behind all of them the rows. */
static int hand_on(struct web_req *req, const struct access *access,
	const struct manifest *manifest, const struct manifest_bytes *bytes, struct err *err)
{
	if (blob_expect(req, access, STORE_MANIFEST, manifest->digest, NULL, err) < 0)
		return -1;
	return manifest_put_bytes(req, access, manifest, bytes, err);
}

int manifest_add_all(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, size_t n_bytes, struct manifest *ret_last,
	struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	struct manifest *manifests = arena_alloc(req->arena, n_bytes * sizeof(*manifests));

	for (size_t i = 0; i < n_bytes; i++) {
		struct arrival arrival = {
			.req = req, .access = access, .others = manifests, .n_others = i
		};

		if (prepare(&arrival, &bytes[i], &manifests[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < n_bytes; i++) {
		if (hand_on(req, access, &manifests[i], &bytes[i], err) < 0)
			return -1;
	}
	if (store_manifests_add(req->worker->db, access, manifests, n_bytes, &conf->limits, err) <
		0)
		return -1;
	*ret_last = manifests[n_bytes - 1];
	return 0;
}

int manifest_add(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, struct manifest *ret_manifest, struct err *err)
{
	return manifest_add_all(req, access, bytes, 1, ret_manifest, err);
}
