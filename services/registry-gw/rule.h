/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant's rule: what of its images may be stored and pulled. Without one only encrypted images
 * are. Pure functions over what a manifest's packets tell; the database calls are store_rule.h.
 */
#ifndef REGISTRY_GW_RULE_H
#define REGISTRY_GW_RULE_H

#include <jansson.h>
#include <openssl/types.h>
#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "services/registry-gw/manifest_check.h"

enum rule_mode {
	RULE_ENCRYPTED_ONLY,
	RULE_ENCRYPTED_OR_SIGNED, /* plain images too, but nobody uses one that is not signed */
	RULE_OPEN,
};

struct rule {
	enum rule_mode mode;
	const json_t *recipients; /* [{"name","issuer_serial"}] that every layer has a packet for */
	const json_t *signers;	  /* [{"name","public_key","spki"}] */
	long long max_recipients; /* of a layer */
	long long revision;	  /* 0: the tenant has none */
	const char *updated_by, *updated_at;
};

/* The words of the API; NULL and false for others. */
const char *rule_mode_name(enum rule_mode mode);
bool rule_mode_of(const char *name, enum rule_mode *ret_mode);

/* Whether such an image may come in. manifest.not_encrypted, manifest.recipient_missing,
 * manifest.too_many_recipients: the detail names the layer. */
int rule_admit(const struct rule *rule, const struct manifest_facts *facts, struct err *err);

/* Makes a rule out of what an owner sent: certificates become digests, keys are read.
 * rule.bad_mode, rule.bad_recipient, rule.bad_signer, rule.no_signer, json.invalid_fields. The
 * lists live in the arena. */
int rule_read(struct arena *arena, json_t *body, struct rule *ret_rule, struct err *err);
json_t *rule_json(const struct rule *rule);
/* A signer's public key in PEM. cert.syntax, and those of cert_spki_read() */
int rule_key(const char *text, EVP_PKEY **ret_key, struct err *err);

#endif
