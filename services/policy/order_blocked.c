/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands against the start of an ordered run: something was there and was taken back. What was
 * never there (too few approvals, say) is the agent's to refuse.
 */
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"
#include "services/policy/orders.h"
#include "services/policy/store.h"

static bool is_taken_back(const char *code)
{
	static const char *const codes[] = { "approval.withdrawn", "approval.declined",
		"approval.expired", "approval.too_late" };

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (strcmp(codes[i], code) == 0)
			return true;
	}
	return false;
}

static json_t *of_approvals(struct arena *arena, const char *document, const json_t *approvals)
{
	struct err reason = { .kind = ERR_NONE };
	struct trust_policy policy;

	if (trust_policy_parse(arena, document, strlen(document), &policy, NULL) < 0 ||
		trust_approvals_satisfy(&policy, approvals, clock_unix_ms() / 1000, &reason) == 0 ||
		!is_taken_back(reason.code))
		return NULL;
	return json_pack("{s:s,s:s}", "code", reason.code, "detail", reason.detail);
}

json_t *order_blocked(struct arena *arena, const struct order_row *row, const json_t *approvals)
{
	const char *slot = json_string_value(json_array_get(row->withdrawn, 0)),
		   *dataset = json_string_value(json_array_get(row->unshared, 0));

	if (slot)
		return json_pack("{s:s,s:o}", "code", "grant.withdrawn", "detail",
			json_sprintf("the grant for '%s' was taken back", slot));
	if (dataset)
		return json_pack("{s:s,s:o}", "code", "dataset.share_withdrawn", "detail",
			json_sprintf("%s is no longer shared with this space", dataset));
	if (row->is_departed)
		return json_pack("{s:s,s:s}", "code", "policy.wrong_space", "detail",
			"who ordered is in the policy's space no more");
	if (!row->image_tenant)
		return json_pack("{s:s,s:s}", "code", "image.not_shared", "detail",
			"no application that is shared with this space, and approved, is the "
			"policy's image");
	return of_approvals(arena, row->document, approvals);
}
