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

static int check_blobs(
	struct web_req *req, const struct access *access, const char *links, struct err *err)
{
	const char *missing;

	if (store_blob_missing(req, access, links, &missing, err) < 0)
		return -1;
	if (!missing)
		return 0;
	return err_set(err, ERR_INVALID, "manifest.blob_unknown",
		"the manifest names '%s', which was not uploaded to '%s'", missing,
		access->repository);
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

static int child_refused(const char *code, const char *child, const char *why, struct err *err)
{
	return err_set(err, ERR_FORBIDDEN, code, "the index names '%s': %s", child, why);
}

/* The children were checked when they came, maybe under another rule. */
static int check_children(struct web_req *req, const struct access *access, const struct rule *rule,
	struct manifest *manifest, struct err *err)
{
	struct children children;

	if (store_children(req, access, manifest->links, rule, &children, err) < 0)
		return -1;
	if (children.missing)
		return err_set(err, ERR_INVALID, "manifest.blob_unknown",
			"the index names '%s', which is not in '%s'", children.missing,
			access->repository);
	if (children.plain && rule->mode == RULE_ENCRYPTED_ONLY)
		return child_refused("manifest.not_encrypted", children.plain,
			"only encrypted images, and that has a layer in clear", err);
	if (children.crowded)
		return child_refused("manifest.too_many_recipients", children.crowded,
			"it is encrypted to more recipients than the rule allows", err);
	if (children.unreadable)
		return child_refused("manifest.recipient_missing", children.unreadable,
			"it has no key packet for each that the rule wants", err);
	manifest->encrypted = !children.plain;
	manifest->total = children.bytes + (long long)manifest->size;
	return 0;
}

/* Where the rule names no key, and in an open registry when the signatures are others', they are
 * layers like all. */
static int check_signatures(struct web_req *req, const struct access *access,
	const struct rule *rule, const json_t *document, struct manifest *manifest, struct err *err)
{
	struct err inner = { .kind = ERR_NONE };
	auto_json json_t *signatures = NULL;

	if (signature_verify(req, access, rule, document, &signatures, &inner) < 0) {
		if (rule->mode == RULE_OPEN && inner.kind == ERR_FORBIDDEN)
			return 0;
		*err = inner;
		return -1;
	}
	manifest->kind = "signature";
	manifest->signatures = as_text(req, signatures);
	return 0;
}

static int check_layers(struct web_req *req, const struct access *access, const struct rule *rule,
	const json_t *document, const struct manifest_facts *facts, struct manifest *manifest,
	struct err *err)
{
	struct recipients found = recipients_of(facts->layers);
	auto_json json_t *list = found.list;

	manifest->encrypted = facts->encrypted;
	manifest->layers = (long long)json_array_size(facts->layers);
	manifest->total = facts->bytes + (long long)manifest->size;
	manifest->recipients = as_text(req, list);
	manifest->layer_recipients = found.most;
	if (facts->signature && json_array_size(rule->signers) > 0 &&
		check_signatures(req, access, rule, document, manifest, err) < 0)
		return -1;
	return manifest->signatures ? 0 : rule_admit(rule, facts, err);
}

static int check_rule(struct web_req *req, const struct access *access, const json_t *document,
	const struct manifest_facts *facts, struct manifest *manifest, struct err *err)
{
	struct rule rule;

	if (store_rule_get(req, access->tenant, &rule, err) < 0)
		return -1;
	manifest->kind = facts->index ? "index" : "image";
	manifest->recipients = "[]";
	if (facts->index)
		return check_children(req, access, &rule, manifest, err);
	return check_layers(req, access, &rule, document, facts, manifest, err);
}

static int check(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, struct manifest *manifest, struct err *err)
{
	auto_json json_t *document = NULL, *links = NULL, *layers = NULL;
	struct err inner = { .kind = ERR_NONE };
	struct manifest_facts facts;

	document = json_parse(bytes->data, bytes->len, &inner);
	if (!document)
		return err_set(err, ERR_INVALID, "manifest.invalid", "%s", inner.detail);
	if (manifest_check(document, manifest->media_type, &facts, err) < 0)
		return -1;
	links = facts.links;
	layers = facts.layers;
	manifest->links = as_text(req, links);
	manifest->subject = copy(req, facts.subject);
	manifest->artifact_type = copy(req, facts.artifact_type);
	manifest->annotations = as_text(req, facts.annotations);
	if (check_rule(req, access, document, &facts, manifest, err) < 0)
		return -1;
	return facts.index ? 0 : check_blobs(req, access, manifest->links, err);
}

/* First the word that it comes, then the bytes, then the row. */
static int keep(struct web_req *req, const struct access *access, const struct manifest *manifest,
	const struct manifest_bytes *bytes, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;

	if (blob_expect(req, access, STORE_MANIFEST, manifest->digest, NULL, err) < 0 ||
		manifest_put_bytes(req, access, manifest, bytes, err) < 0)
		return -1;
	return store_manifest_add(req->worker->db, access, manifest, &conf->limits, err);
}

int manifest_examine(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, struct err *err)
{
	auto_json json_t *document = NULL, *links = NULL, *layers = NULL;
	struct err inner = { .kind = ERR_NONE };
	struct manifest_facts facts;
	struct rule rule;

	document = json_parse(bytes->data, bytes->len, &inner);
	if (!document)
		return err_set(err, ERR_INVALID, "manifest.invalid", "%s", inner.detail);
	if (manifest_check(document, bytes->media_type, &facts, err) < 0)
		return -1;
	links = facts.links;
	layers = facts.layers;
	if (store_rule_get(req, access->tenant, &rule, err) < 0)
		return -1;
	if (facts.index || (facts.signature && json_array_size(rule.signers) > 0))
		return 0;
	return rule_admit(&rule, &facts, err);
}

int manifest_add(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, struct manifest *ret_manifest, struct err *err)
{
	char *digest = arena_alloc(req->arena, DIGEST_TEXT_SIZE),
	     *id = arena_alloc(req->arena, ID_SIZE);
	struct manifest manifest = { .digest = digest, .id = id, .size = bytes->len };

	id_new("img", id);
	digest_text(bytes->data, bytes->len, digest);
	manifest.media_type = bytes->media_type;
	manifest.tags = bytes->tags ? as_text(req, bytes->tags) : "[]";
	manifest.replaces = bytes->replaces;
	if (bytes->digest && strcmp(bytes->digest, digest) != 0)
		return err_set(err, ERR_INVALID, "manifest.digest",
			"the bytes have the digest '%s'", digest);
	if (check(req, access, bytes, &manifest, err) < 0 ||
		keep(req, access, &manifest, bytes, err) < 0)
		return -1;
	*ret_manifest = manifest;
	return 0;
}
