/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that were offered for one location are not found for a policy that takes them to
 * another. */
#include <stdlib.h>
#include <unistd.h>

#include "client/files.h"
#include "client/offer.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"
#include "tests/unit/check.h"

#define SLOT "credentials/input/data"
#define PLACE "https://store.example/a"

static json_t *storage;
static struct err err;

static json_t *policy_of(const char *commitment, const char *url)
{
	return json_pack("{s:{s:{s:s}},s:[{s:s,s:{s:s}}],s:[]}", "slots", SLOT, "commitment",
		commitment, "inputs", "slot", SLOT, "location", "url", url, "outputs");
}

static void offered(const char *url, const char *path)
{
	auto_json json_t *secret = json_pack("{s:s,s:n}", "query_string", "c2lnPTE=", "encryption");
	const struct offer_secret offer = { SLOT, secret, path, url };
	auto_json json_t *opening = NULL, *again = NULL, *found = NULL, *same = NULL, *other = NULL,
			 *nothing = NULL;
	char commitment[DIGEST_TEXT_SIZE];

	CHECK(offer_keep(storage, &offer, &opening, &err) == 0);
	CHECK(offer_keep(storage, &offer, &again, &err) == 0);
	CHECK(json_equal(opening, again));
	CHECK(trust_commitment_of(opening, commitment, &err) == 0);
	same = policy_of(commitment, PLACE);
	other = policy_of(commitment, "https://evil.example/a");
	CHECK(offer_openings(storage, other, &nothing, &err) < 0);
	CHECK_TEXT(err.code, "release.other_location");
	CHECK(!nothing);
	CHECK((offer_openings(storage, same, &found, &err) == 0) == (url != NULL));
	CHECK(!url || json_equal(json_object_get(found, SLOT), opening));
}

int main(void)
{
	char folder[] = "/tmp/strongroom-offer-XXXXXX";

	if (!mkdtemp(folder) || chdir(folder) < 0 || files_make_dirs("keys", 0700, &err) < 0)
		return 1;
	storage = jose_key_new("enc");
	offered(PLACE, "keys/offer-a-openings.jwe");
	offered(NULL, "keys/offer-b-openings.jwe");
	json_decref(storage);
	CHECK(chdir("/") == 0 && files_tree_remove(folder, &err) == 0);
	CHECK_DONE();
}
