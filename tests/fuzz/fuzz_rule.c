/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What strangers send the gateway beside the protocol: manifests and indexes with what their
 * packets tell, texts that were signed, rules, and pairs of manifests of which one is to replace
 * the other. What is let through keeps its promises. The first byte says which reader.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/rewrap.h"
#include "services/registry-gw/rule.h"
#include "services/registry-gw/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_rule(const struct manifest_facts *facts)
{
	const struct rule strict = { .mode = RULE_ENCRYPTED_ONLY, .max_recipients = 1 };
	struct recipients found = recipients_of(facts->layers);
	struct err err = { .kind = ERR_NONE };

	must(json_array_size(found.list) <= 64);
	if (rule_admit(&strict, facts, &err) == 0)
		must(facts->encrypted && found.most == 1);
	else
		must(err.kind == ERR_FORBIDDEN);
	json_decref(found.list);
}

static void check_manifest(const json_t *document, const char *type)
{
	struct manifest_facts facts;
	struct err err = { .kind = ERR_NONE };

	if (manifest_check(document, type, &facts, &err) < 0) {
		must(*err.code);
		return;
	}
	must(json_is_array(facts.links) && facts.bytes >= 0);
	if (!facts.index)
		check_rule(&facts);
	json_decref(facts.links);
	json_decref(facts.layers);
}

static void check_input(json_t *document)
{
	struct arena *arena = arena_new();
	struct rule rule;

	if (rule_read(arena, document, &rule, NULL) == 0) {
		must(rule.max_recipients >= 1 && rule.max_recipients <= 32);
		must(rule.mode != RULE_ENCRYPTED_OR_SIGNED || json_array_size(rule.signers) > 0);
		json_decref(rule_json(&rule));
	}
	arena_free(arena);
}

static void check_pair(const json_t *document)
{
	const json_t *before = json_array_get(document, 0), *after = json_array_get(document, 1);

	if (before && after && rewrap_check(before, after, NULL) == 0)
		must(json_equal(
			json_object_get(before, "config"), json_object_get(after, "config")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json_t *document = NULL;
	char image[DIGEST_TEXT_SIZE];

	if (size == 0)
		return 0;
	if (signature_payload(data + 1, size - 1, image, NULL) == 0)
		must(reference_is_digest(image));
	document = json_parse((const char *)data + 1, size - 1, NULL);
	if (!document)
		return 0;
	if (data[0] % 4 == 0)
		check_manifest(document, "application/vnd.oci.image.manifest.v1+json");
	else if (data[0] % 4 == 1)
		check_manifest(document, "application/vnd.oci.image.index.v1+json");
	else if (data[0] % 4 == 2)
		check_input(document);
	else
		check_pair(document);
	return 0;
}
