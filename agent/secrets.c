/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and wiping. */
#include "agent/secrets.h"

#include <string.h>

#include "agent/machine.h"
#include "lib/codec.h"
#include "lib/json.h"

struct opening {
	const json_t *machine_enc;
	const struct trust_policy *policy;
	const struct trust_order *order;
	struct secrets *secrets;
	json_t *seen; /* {slot: true} */
};

static int bad_secret(const char *slot, struct err *err)
{
	return err_set(err, ERR_UNPROCESSABLE, "grant.secret",
		"the secret of the slot '%s' is no key of its kind", slot);
}

static unsigned char *key_of(const struct opening *opening, const char *slot)
{
	const json_t *inputs = json_object_get(opening->policy->doc, "inputs");
	json_t *input;
	size_t i;

	if (strcmp(slot, "output") == 0)
		return opening->secrets->output;
	json_array_foreach (inputs, i, input) {
		if (i < SECRETS_MAX_INPUTS && strcmp(json_text(input, "slot"), slot) == 0)
			return opening->secrets->inputs[i];
	}
	return NULL;
}

static int keep(
	const struct opening *opening, const char *slot, const json_t *secret, struct err *err)
{
	const char *text = json_text(secret, "key");
	unsigned char *key;

	if (strcmp(slot, "image") == 0) {
		opening->secrets->image = json_deep_copy(json_object_get(secret, "jwk"));
		return opening->secrets->image ? 0 : bad_secret(slot, err);
	}
	if (strncmp(slot, "credentials/", 12) == 0) { /* its form was checked with the commitment */
		json_object_set_new(opening->secrets->credentials, slot, json_deep_copy(secret));
		return 0;
	}
	key = key_of(opening, slot);
	if (!key || !text || codec_b64url_decode_fixed(text, key, STREAM_AEAD_KEY_SIZE, NULL) < 0)
		return bad_secret(slot, err);
	return 0;
}

static int open_grant(const struct opening *opening, const json_t *grant, struct err *err)
{
	json_t *secret = NULL;
	char slot[64];
	int rc;

	if (trust_grant_open(opening->machine_enc, opening->policy, opening->order, grant, &secret,
		    slot, err) < 0)
		return -1;
	if (json_object_get(opening->seen, slot))
		rc = err_set(err, ERR_UNPROCESSABLE, "grant.repeated",
			"there are two grants for the slot '%s'", slot);
	else
		rc = keep(opening, slot, secret, err);
	json_object_set_new(opening->seen, slot, json_true());
	machine_wipe_json(secret);
	return rc;
}

static int check_all(const struct opening *opening, struct err *err)
{
	const char *name;
	json_t *slot;

	json_object_foreach (json_object_get(opening->policy->doc, "slots"), name, slot) {
		if (!json_object_get(opening->seen, name))
			return err_set(err, ERR_UNPROCESSABLE, "grant.missing",
				"there is no grant for the slot '%s'", name);
	}
	return 0;
}

static int open_all(const struct opening *opening, const json_t *grants, struct err *err)
{
	json_t *grant;
	size_t i;

	json_array_foreach (grants, i, grant) {
		if (open_grant(opening, grant, err) < 0)
			return -1;
	}
	return check_all(opening, err);
}

int secrets_open(const json_t *machine_enc, const struct trust_policy *policy,
	const struct trust_order *order, const json_t *grants, struct secrets *ret_secrets,
	struct err *err)
{
	auto_json json_t *seen = json_object();
	struct secrets secrets = { .credentials = json_object() };
	const struct opening opening = { machine_enc, policy, order, &secrets, seen };
	int rc = open_all(&opening, grants, err);

	if (rc == 0) {
		*ret_secrets = secrets;
		secrets.image = NULL;
		secrets.credentials = NULL;
	}
	secrets_wipe(&secrets);
	return rc;
}

void secrets_wipe_image(struct secrets *secrets)
{
	machine_wipe_json(secrets->image);
	secrets->image = NULL;
}

void secrets_wipe_credentials(struct secrets *secrets)
{
	machine_wipe_json(secrets->credentials);
	secrets->credentials = NULL;
}

void secrets_wipe_inputs(struct secrets *secrets)
{
	explicit_bzero(secrets->inputs, sizeof(secrets->inputs));
}

void secrets_wipe(struct secrets *secrets)
{
	secrets_wipe_image(secrets);
	secrets_wipe_credentials(secrets);
	explicit_bzero(secrets, sizeof(*secrets));
}
