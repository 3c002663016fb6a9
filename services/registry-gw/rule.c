/* SPDX-License-Identifier: Apache-2.0 */
/* The rule of rule.h on manifests; rule_input.c reads it from an owner. */
#include "services/registry-gw/rule.h"

#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"

static const char *const names[] = {
	[RULE_ENCRYPTED_ONLY] = "encrypted-only",
	[RULE_ENCRYPTED_OR_SIGNED] = "encrypted-or-signed",
	[RULE_OPEN] = "open",
};

const char *rule_mode_name(enum rule_mode mode)
{
	return names[mode];
}

bool rule_mode_of(const char *name, enum rule_mode *ret_mode)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) == 0) {
			*ret_mode = (enum rule_mode)i;
			return true;
		}
	}
	return false;
}

static bool is_for(const json_t *layer, const char *issuer_serial)
{
	const json_t *recipient;
	size_t i;

	json_array_foreach (layer, i, recipient) {
		const char *own = json_text(recipient, "issuer_serial");

		if (own && strcmp(own, issuer_serial) == 0)
			return true;
	}
	return false;
}

static int check_layer(const struct rule *rule, size_t number, const json_t *layer, struct err *err)
{
	const json_t *wanted;
	size_t i;

	if ((long long)json_array_size(layer) > rule->max_recipients)
		return err_set(err, ERR_FORBIDDEN, "manifest.too_many_recipients",
			"layer %zu: it is encrypted to %zu recipients, and the rule allows %lld",
			number, json_array_size(layer), rule->max_recipients);
	json_array_foreach (rule->recipients, i, wanted) {
		if (!is_for(layer, json_text(wanted, "issuer_serial")))
			return err_set(err, ERR_FORBIDDEN, "manifest.recipient_missing",
				"layer %zu: it has no key packet for '%.80s', as the rule wants",
				number, json_text(wanted, "name"));
	}
	return 0;
}

static int refuse_plain(const json_t *layers, struct err *err)
{
	const json_t *layer;
	size_t i;

	json_array_foreach (layers, i, layer) {
		if (json_is_null(layer))
			return err_set(err, ERR_FORBIDDEN, "manifest.not_encrypted",
				"only encrypted images: layer %zu: its media type does not end in "
				"+encrypted",
				i);
	}
	return err_set(err, ERR_FORBIDDEN, "manifest.not_encrypted",
		"only encrypted images: the manifest has no layers");
}

int rule_admit(const struct rule *rule, const struct manifest_facts *facts, struct err *err)
{
	const json_t *layer;
	size_t i;

	if (!facts->encrypted)
		return rule->mode == RULE_ENCRYPTED_ONLY ? refuse_plain(facts->layers, err) : 0;
	json_array_foreach (facts->layers, i, layer) {
		if (check_layer(rule, i, layer, err) < 0)
			return -1;
	}
	return 0;
}
