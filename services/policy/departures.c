/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of departures.h. */
#include "services/policy/departures.h"

#include <stdlib.h>

#include "lib/db.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/peer.h"
#include "lib/service.h"
#include "services/policy/queries.h"

/* Who left is who certreg says joined once and is there no more. Whom it does not know at all, as
 * one that was restored from before he came, starts nothing and loses nothing. */
int departures_settle(
	struct worker *worker, const char *space, const char *tenant, bool *ret_in, struct err *err)
{
	auto_free char *path = mem_printf("/internal/v1/spaces/%s/tenants", space), *text = NULL;
	auto_json json_t *answer = NULL;
	const json_t *tenants, *departed;

	if (peer_get(worker, PEER_CERTREG, path, &answer, err) < 0)
		return -1;
	tenants = json_object_get(answer, "tenants");
	departed = json_object_get(answer, "departed");
	if (!json_is_array(tenants) || !json_is_array(departed))
		return err_set(err, ERR_UPSTREAM, "upstream.not_json",
			"certreg does not say who is in a space");
	text = json_dumps(departed, JSON_COMPACT);
	if (tenant)
		*ret_in = json_list_has(tenants, tenant);
	return db_run(worker->db, DB_SWEEP, &SQL_SHARE_DEPARTED, DB_PARAMS(space, text), NULL, err);
}

int departures_follow(struct worker *worker, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(worker->db, DB_SWEEP, &SQL_SHARE_SPACES, DB_NO_PARAMS, &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows); i++) {
		if (departures_settle(worker, db_text(rows, i, "space_id"), NULL, NULL, err) < 0)
			return -1;
	}
	return 0;
}
