/* SPDX-License-Identifier: Apache-2.0 */
/* Both requests are safe to repeat: the claim is the same for a boot, and so are the keys. */
#include "agent/enrol.h"

#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

#define CLAIM_TIMEOUT_MS 45000 /* the server waits up to 30 s */

struct enrolment {
	struct edge *edge;
	char *path, *header;
};

/* A secret that is refused stays refused, unlike a token, which can be had anew. */
static bool may_pass(struct edge_patience *patience, const struct err *err)
{
	return err->kind != ERR_UNAUTHENTICATED && edge_wait(patience, err);
}

static int ask(const struct enrolment *enrolment, const char *method, const char *path,
	const json_t *body, json_t **ret_json, struct err *err)
{
	const char *headers[] = { enrolment->header, NULL };
	auto_free char *url = edge_url(enrolment->edge, path);
	struct edge_patience patience = edge_patience_new();
	struct fetch_request req = {
		.method = method, .url = url, .headers = headers, .timeout_ms = CLAIM_TIMEOUT_MS
	};
	struct err failure = { 0 };

	while (fetch_json(edge_fetch(enrolment->edge), &req, body, ret_json, NULL, &failure) < 0) {
		if (!may_pass(&patience, &failure)) {
			*err = failure;
			return -1;
		}
	}
	return 0;
}

/* A measured VM says who it is and gets a credential that it can open if that is true. */
static json_t *introduction(const struct machine *machine)
{
	const json_t *report = machine->report;

	return report ? json_pack("{s:O,s:O}", "ek_certificate",
				json_object_get(report, "ek_certificate"), "ak",
				json_object_get(report, "ak"))
		      : json_object();
}

/* Opens the credential that came back, and says so in what is asked next. */
static int activate(const struct machine *machine, const json_t *answer, json_t *body,
	char **ret_activated, struct err *err)
{
	if (!machine->tpm || *ret_activated)
		return 0;
	if (tpmdev_activate(
		    machine->tpm, json_object_get(answer, "credential"), ret_activated, err) < 0)
		return -1;
	json_object_set_new(body, "activated", json_string(*ret_activated));
	return 0;
}

/* A sandbox may be started before anybody wants it, so there is no end to this waiting but the
 * VM's. */
static int fetch_claim(const struct enrolment *enrolment, const struct machine *machine,
	json_t **ret_answer, char **ret_activated, struct err *err)
{
	auto_free char *path = mem_printf("%s/claim?wait=30s", enrolment->path);
	const struct err empty = { .kind = ERR_UNAVAILABLE };
	auto_json json_t *body = introduction(machine);

	for (;;) {
		struct edge_patience patience = edge_patience_new();
		auto_json json_t *answer = NULL;

		if (ask(enrolment, "POST", path, body, &answer, err) < 0)
			return -1;
		if (answer && activate(machine, answer, body, ret_activated, err) < 0)
			return -1;
		if (answer && !json_is_null(json_object_get(answer, "claim"))) {
			*ret_answer = take_ptr(answer);
			break;
		}
		edge_wait(&patience, &empty);
	}
	if (!json_is_integer(json_object_get(*ret_answer, "boot")))
		return err_set(err, ERR_UPSTREAM, "upstream.protocol", "the claim has no boot");
	return 0;
}

static int register_keys(const struct enrolment *enrolment, const struct machine *machine,
	const json_t *boot, const char *activated, struct err *err)
{
	auto_json json_t *body = json_pack("{s:O,s:s*,s:O}", "boot", boot, "activated", activated,
		"evidence", machine->evidence);
	auto_json json_t *answer = NULL;

	return ask(enrolment, "POST", enrolment->path, body, &answer, err);
}

static int enrol(const struct enrolment *enrolment, const json_t *initdata, struct machine *machine,
	struct err *err)
{
	auto_json json_t *answer = NULL;
	auto_free char *activated = NULL;

	if (machine_init(machine, initdata, err) < 0 ||
		fetch_claim(enrolment, machine, &answer, &activated, err) < 0 ||
		machine_claim(machine, json_object_get(answer, "claim"),
			json_object_get(answer, "ek_chain"), err) < 0)
		return -1;
	return register_keys(enrolment, machine, json_object_get(answer, "boot"), activated, err);
}

int enrol_sandbox(
	struct edge *edge, struct agent_boot *boot, struct machine *ret_machine, struct err *err)
{
	struct machine machine = { 0 };
	struct enrolment enrolment = {
		.edge = edge,
		.path = mem_printf("/v1/enrolments/%s", json_text(boot->initdata, "sandbox")),
		.header = mem_printf("Authorization: Enrolment %s", boot->enrolment_secret),
	};
	int rc = enrol(&enrolment, boot->initdata, &machine, err);

	mem_wipe_free(enrolment.header, strlen(enrolment.header));
	mem_wipe_free(boot->enrolment_secret, strlen(boot->enrolment_secret));
	boot->enrolment_secret = NULL;
	free(enrolment.path);
	if (rc < 0) {
		machine_release(&machine);
		return -1;
	}
	*ret_machine = machine;
	return 0;
}
