/* SPDX-License-Identifier: Apache-2.0 */
/* The checks, in the order in which one relies on another. */
#include "agent/verify.h"

#include <string.h>

#include "lib/json.h"

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

static int check_template(
	const struct verify *verify, const struct trust_policy *policy, struct err *err)
{
	const json_t *template = json_object_get(verify->machine->initdata, "template");
	const char *id = json_text(template, "id");
	long long version = json_integer_value(json_object_get(template, "version"));

	if (!id || strcmp(id, policy->template_id) != 0 || version != policy->template_version)
		return err_set(err, ERR_UNPROCESSABLE, "policy.wrong_template",
			"the policy is for template '%s' version %lld, this sandbox is '%s' "
			"version %lld",
			policy->template_id, policy->template_version, id ? id : "", version);
	return 0;
}

static int check_class(
	const struct verify *verify, const struct trust_policy *policy, struct err *err)
{
	const char *minimum = json_text(json_object_get(policy->doc, "evidence"), "minimum");

	if (trust_class_rank(verify->machine->class) < trust_class_rank(minimum))
		return err_set(err, ERR_UNPROCESSABLE, "evidence.class_too_low",
			"the class is '%s', at least '%s' is asked for", verify->machine->class,
			minimum);
	return 0;
}

/* What is promised in the policy and cannot be kept here must not be run without it. */
static int check_supported(const struct trust_policy *policy, struct err *err)
{
	const char *egress = json_text(json_object_get(policy->doc, "egress"), "mode"), *name;
	json_t *slot;

	if (strcmp(egress, "none") != 0)
		return err_set(err, ERR_UNPROCESSABLE, "policy.unsupported",
			"this agent gives no egress of the mode '%s'", egress);
	if (json_array_size(json_object_get(policy->doc, "config_files")) > 0)
		return err_set(err, ERR_UNPROCESSABLE, "policy.unsupported",
			"this agent places no config files");
	json_object_foreach (json_object_get(policy->doc, "slots"), name, slot) {
		if (strcmp(json_text(slot, "mode"), "once") != 0)
			return err_set(err, ERR_UNPROCESSABLE, "policy.unsupported",
				"this agent renews no lease, which the slot '%s' asks for", name);
	}
	return 0;
}

/* decrypt-output is the client's to tally: it is the client that decrypts. */
static int check_measurements(
	const struct verify *verify, const struct trust_policy *policy, struct err *err)
{
	static const char *const own[] = { "encrypt-output", "decrypt-input" };
	const json_t *measurements = json_object_get(policy->doc, "measurements");

	for (size_t i = 0; i < 2; i++) {
		if (strcmp(json_text(measurements, own[i]), verify->measurement) != 0)
			return err_set(err, ERR_UNPROCESSABLE, "measurement.mismatch",
				"%s is to be done by %.20s, this agent is %.20s", own[i],
				json_text(measurements, own[i]), verify->measurement);
	}
	return 0;
}

static int check_policy(const struct verify *verify, const struct trust_policy *policy,
	long long now, struct err *err)
{
	if (check_binding(verify, policy, err) < 0 || check_template(verify, policy, err) < 0 ||
		check_class(verify, policy, err) < 0 || check_supported(policy, err) < 0 ||
		check_measurements(verify, policy, err) < 0)
		return -1;
	if (now >= policy->deadline)
		return err_set(
			err, ERR_UNPROCESSABLE, "policy.expired", "the policy's deadline is over");
	return 0;
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
		check_policy(verify, &policy, now, err) < 0 ||
		trust_approvals_satisfy(&policy, work->approvals, now, err) < 0 ||
		check_order(verify, &policy, work, &order, err) < 0)
		return -1;
	snprintf(verify->policy, sizeof(verify->policy), "%s", policy.hash);
	json_object_set_new(verify->nonces, order.run_nonce, json_true());
	*ret_policy = policy;
	*ret_order = order;
	return 0;
}
