/* SPDX-License-Identifier: Apache-2.0 */
/* The checks, in the order in which one relies on another. */
#include "agent/verify.h"

#include <string.h>

#include "agent/gates.h"
#include "lib/json.h"
#include "proto/trust_constraints.h"

void verify_init(struct verify *verify, const struct machine *machine, const char *measurement)
{
	*verify = (struct verify) {
		.machine = machine, .measurement = measurement, .nonces = json_object()
	};
}

void verify_release(struct verify *verify)
{
	json_decref(verify->nonces);
	verify->nonces = NULL;
}

/* --- policy against this sandbox --- */

/* One boot runs one policy, and none but the one it was claimed for. */
static int check_binding(
	const struct verify *verify, const struct trust_policy *policy, struct err *err)
{
	const char *claimed = json_text(verify->machine->claim, "policy");

	if (claimed && strcmp(claimed, policy->hash) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "claim.wrong_policy",
			"the sandbox was claimed for another policy");
	if (verify->policy[0] && strcmp(verify->policy, policy->hash) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "agent.other_policy",
			"this boot runs another policy; restart the sandbox");
	return 0;
}

static int unsupported(struct err *err, const char *what)
{
	return err_set(err, ERR_UNPROCESSABLE, "policy.unsupported", "this agent %s", what);
}

static int check_modes(const struct trust_policy *policy, struct err *err)
{
	const char *name;
	json_t *slot;

	json_object_foreach (json_object_get(policy->doc, "slots"), name, slot) {
		if (strcmp(json_text(slot, "mode"), "once") != 0)
			return err_set(err, ERR_UNPROCESSABLE, "grant.lease_unsupported",
				"this agent renews no lease, which the slot '%s' asks for", name);
	}
	return 0;
}

/* What is promised in the policy and cannot be kept here must not be run without it. */
static int check_supported(const struct trust_policy *policy, struct err *err)
{
	const json_t *doc = policy->doc;

	if (json_array_size(json_object_get(doc, "config_files")) > 0)
		return unsupported(err, "places no config files");
	if (gates_stand(json_object_get(doc, "gates")) &&
		(json_array_size(json_object_get(doc, "outputs")) > 0 ||
			json_text_is(json_object_get(doc, "egress"), "mode", "direct")))
		return unsupported(err, "has no gates for what the app itself sends");
	return check_modes(policy, err);
}

/* Machine, deadline, scoped policies and approvals: what everybody could have read before. */
static int check_clauses(const struct verify *verify, const struct trust_policy *policy,
	const struct work *work, long long now, struct err *err)
{
	const json_t *template = json_object_get(verify->machine->initdata, "template");
	auto_json json_t *none = json_array(), *explanation = NULL;
	const struct trust_facts facts = {
		.now = now,
		.class = verify->machine->class,
		.template_id = json_text(template, "id") ? json_text(template, "id") : "",
		.template_version = json_integer_value(json_object_get(template, "version")),
		.measurement = verify->measurement,
		.approvals = work->approvals ? work->approvals : none,
		.constraints = work->constraints ? work->constraints : none,
	};

	explanation = trust_policy_explain(policy, &facts);
	return trust_explanation_fail(explanation, err);
}

/* --- order --- */

static int check_order(const struct verify *verify, const struct trust_policy *policy,
	const struct work *work, struct trust_order *ret_order, struct err *err)
{
	const struct machine *machine = verify->machine;

	if (trust_order_check(policy, work->order, ret_order, err) < 0 ||
		trust_order_check_machine(
			ret_order, machine->enc_public, machine->sig_public, err) < 0)
		return -1;
	if (json_object_get(verify->nonces, ret_order->run_nonce))
		return err_set(err, ERR_CONFLICT, "order.replayed",
			"this boot has already taken this order");
	return 0;
}

int verify_work(struct verify *verify, struct arena *arena, const struct work *work, long long now,
	struct trust_policy *ret_policy, struct trust_order *ret_order, struct err *err)
{
	struct trust_policy policy;
	struct trust_order order;

	if (trust_policy_parse(arena, work->policy, strlen(work->policy), &policy, err) < 0 ||
		check_binding(verify, &policy, err) < 0 || check_supported(&policy, err) < 0 ||
		check_clauses(verify, &policy, work, now, err) < 0 ||
		check_order(verify, &policy, work, &order, err) < 0)
		return -1;
	snprintf(verify->policy, sizeof(verify->policy), "%s", policy.hash);
	json_object_set_new(verify->nonces, order.run_nonce, json_true());
	*ret_policy = policy;
	*ret_order = order;
	return 0;
}
