/* SPDX-License-Identifier: Apache-2.0 */
/* Offers and the openings behind them; see offer.h. */
#include "client/offer.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/keystore.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust.h"

#define OPENINGS "-openings.jwe"
#define LOCATION "location" /* beside the opening; no slot is called so */

static bool is_version(const char *text)
{
	return strcmp(text, OFFER_VERSION) == 0;
}

static const struct rule OFFER[] = {
	{ .name = "v", .kind = RULE_TEXT, .is = is_version },
	{ .name = "slots", .kind = RULE_ANY },
	{ .name = "inputs", .kind = RULE_ANY },
	{ .name = "outputs", .kind = RULE_ANY, .optional = true },
	{ .name = "image", .kind = RULE_ANY, .optional = true },
	{ .name = NULL },
};

/* What is in its members the policy's own rules judge. */
static int add(json_t *all, const json_t *offer, struct err *err)
{
	json_t *slots = json_object_get(all, "slots");
	const char *name;
	json_t *slot;

	if (rule_check(OFFER, offer, "offer.invalid", "offer", err) < 0)
		return -1;
	json_object_foreach (json_object_get(offer, "slots"), name, slot) {
		if (json_object_get(slots, name))
			return err_set(err, ERR_CONFLICT, "offer.twice",
				"there are two secrets for the slot '%s'", name);
		json_object_set(slots, name, slot);
	}
	json_array_extend(json_object_get(all, "inputs"), json_object_get(offer, "inputs"));
	json_array_extend(json_object_get(all, "outputs"), json_object_get(offer, "outputs"));
	if (!json_object_get(json_object_get(offer, "slots"), "image"))
		return 0;
	if (!json_is_object(json_object_get(offer, "image")))
		return err_set(err, ERR_INVALID, "offer.invalid",
			"the slot 'image' comes with what the image is");
	return json_object_set(all, "image", json_object_get(offer, "image"));
}

static int add_file(const char *path, json_t *all, struct err *err)
{
	auto_buf text = BUF_INIT(256 * 1024);
	auto_json json_t *offer = NULL;

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	offer = json_parse((char *)text.data, text.len, err);
	if (!offer || add(all, offer, err) < 0)
		return err_wrap(err, "%s", path);
	return 0;
}

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len > end_len && strcmp(name + len - end_len, end) == 0;
}

struct visit {
	json_t *all; /* offers, together */
	const json_t *policy, *storage;
	json_t *openings;
};
typedef int visit_file(const char *path, const struct visit *visit, struct err *err);

/* Each file of the folder whose name ends so, in the order of their names. */
static int each_file(const char *folder, const char *end, visit_file *act,
	const struct visit *visit, struct err *err)
{
	struct dirent **entries = NULL;
	int count = scandir(folder, &entries, NULL, alphasort), result = 0;

	if (count < 0)
		return err_errno(err, "read '%s'", folder);
	for (int i = 0; i < count; i++) {
		auto_free char *path = mem_printf("%s/%s", folder, entries[i]->d_name);

		if (result == 0 && ends_with(entries[i]->d_name, end))
			result = act(path, visit, err);
		free(entries[i]);
	}
	free(entries);
	return result;
}

static int visit_offer(const char *path, const struct visit *visit, struct err *err)
{
	return add_file(path, visit->all, err);
}

int offer_read_all(const char *folder, json_t **ret_offer, struct err *err)
{
	auto_json json_t *all = json_pack("{s:{},s:[],s:[]}", "slots", "inputs", "outputs");

	if (folder && each_file(folder, ".json", visit_offer, &(const struct visit) { .all = all },
			      err) < 0)
		return -1;
	*ret_offer = take_ptr(all);
	return 0;
}

/* --- openings --- */

int offer_keep(const json_t *storage, const struct offer_secret *offer, json_t **ret_opening,
	struct err *err)
{
	auto_json json_t *openings = NULL;
	char commitment[DIGEST_TEXT_SIZE];
	json_t *opening;

	if (access(offer->path, F_OK) == 0) {
		if (keystore_read(storage, offer->path, &openings, err) < 0)
			return -1;
		*ret_opening = json_incref(json_object_get(openings, offer->slot));
		return 0;
	}
	if (trust_commit(offer->slot, offer->secret, &opening, commitment, err) < 0)
		return -1;
	openings = json_pack("{s:O}", offer->slot, opening);
	if (offer->url)
		json_object_set_new(openings, LOCATION, json_string(offer->url));
	*ret_opening = opening;
	return keystore_write(storage, offer->path, openings, err);
}

/* Where the policy has what the slot's credentials open, or NULL: it has no location. */
static const char *location_of(const json_t *policy, const char *slot)
{
	static const char *const lists[] = { "inputs", "outputs" };
	json_t *entry;
	size_t i;

	for (size_t n = 0; n < ARRAY_LEN(lists); n++) {
		json_array_foreach (json_object_get(policy, lists[n]), i, entry) {
			if (json_text_is(entry, "slot", slot))
				return json_text(json_object_get(entry, "location"), "url");
		}
	}
	return NULL;
}

/* Whoever wrote the policy chose where the agent takes them: to the place that they were offered
 * for, or they stay here. */
static int check_location(
	const json_t *policy, const char *slot, const json_t *openings, struct err *err)
{
	const char *url = location_of(policy, slot), *offered = json_text(openings, LOCATION);

	if (!url || (offered && strcmp(url, offered) == 0))
		return 0;
	return err_set(err, ERR_UNPROCESSABLE, "release.other_location",
		"the policy takes the credentials of '%s' to %s, they were offered for %s", slot,
		url, offered ? offered : "no location");
}

static int visit_openings(const char *path, const struct visit *visit, struct err *err)
{
	auto_json json_t *openings = NULL;
	const char *slot;
	json_t *opening;

	if (keystore_read(visit->storage, path, &openings, NULL) < 0)
		return 0; /* another profile's */
	json_object_foreach (openings, slot, opening) {
		const json_t *wanted =
			json_object_get(json_object_get(visit->policy, "slots"), slot);
		char commitment[DIGEST_TEXT_SIZE];

		if (!wanted || trust_commitment_of(opening, commitment, NULL) < 0 ||
			!json_text_is(wanted, "commitment", commitment))
			continue;
		if (check_location(visit->policy, slot, openings, err) < 0)
			return -1;
		json_object_set(visit->openings, slot, opening);
	}
	return 0;
}

int offer_openings(
	const json_t *storage, const json_t *policy, json_t **ret_openings, struct err *err)
{
	auto_json json_t *openings = json_object();

	if (each_file("keys", OPENINGS, visit_openings,
		    &(const struct visit) {
			    .policy = policy, .openings = openings, .storage = storage },
		    err) < 0)
		return -1;
	*ret_openings = take_ptr(openings);
	return 0;
}
