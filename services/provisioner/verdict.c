/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier of lib/evidence.h, with the values of this host. */
#include "services/provisioner/verdict.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/evidence.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "proto/trust.h"
#include "services/provisioner/config.h"
#include "services/provisioner/host_reference.h"
#include "services/provisioner/store_attestations.h"
#include "services/provisioner/templates.h"

#define CA_MAX 65536

struct trust_expect verdict_expect(
	const struct sandbox *sandbox, const json_t *claim, const char *nonce)
{
	return (struct trust_expect) {
		.sandbox_id = sandbox->id,
		.template_id = sandbox->template_id,
		.template_version = sandbox->template_version,
		.edge_ca_spki = template_edge_spki(),
		.nonce = nonce,
		.claim = claim,
	};
}

static int appraise(struct web_req *req, const struct sandbox *sandbox, const json_t *evidence,
	const struct trust_expect *known, enum evidence_activation activation, json_t **ret_verdict,
	struct err *err)
{
	const struct provisioner_conf *conf = req->worker->program;
	auto_json json_t *parameters = json_loads(sandbox->parameters, 0, NULL);
	struct trust_expect expect = *known;
	struct reference reference;
	auto_buf ca = BUF_INIT(CA_MAX);

	if (buf_read_file(&ca, conf->vtpm_ca, err) < 0)
		return -1;
	if (host_reference(conf, parameters, &reference, err) == 0)
		expect.reference = &reference;
	else
		log_failure("no reference values for this sandbox", err);
	expect.vtpm_ca = (const char *)ca.data;
	expect.min_class = "software-tpm";
	expect.activation = activation;
	expect.now = clock_unix_ms() / 1000;
	*ret_verdict = trust_evidence_appraise(evidence, &expect);
	return 0;
}

int verdict_store(struct web_req *req, const struct sandbox *sandbox, const json_t *evidence,
	const struct trust_expect *known, struct err *err)
{
	auto_json json_t *verdict = NULL;
	auto_free char *text = NULL;
	size_t len;

	if (json_is_null(json_object_get(evidence, "report")))
		return 0;
	/* activated, or it would not have come so far */
	if (appraise(req, sandbox, evidence, known, EVIDENCE_ACTIVATED, &verdict, err) < 0)
		return -1;
	log_info("appraised a sandbox's evidence", "sandbox", sandbox->id, "class",
		json_text(verdict, "class"), "failed",
		json_text(verdict, "failed") ? json_text(verdict, "failed") : "-", NULL);
	text = json_encode(verdict, &len);
	return store_vtpm_verdict(req->worker->db, sandbox, text, err);
}

/* --- signed --- */

int verdict_ear(struct web_req *req, const struct sandbox *sandbox, const json_t *evidence,
	const json_t *verdict, json_t **ret_ear, struct err *err)
{
	const struct service_conf *conf = req->worker->conf;
	auto_json json_t *claims = NULL;
	auto_free char *token = NULL;

	if (!json_is_object(verdict) || !json_is_object(evidence)) {
		*ret_ear = json_null();
		return 0;
	}
	claims = trust_ear_claims(verdict, evidence, "strongroom-provisioner", sandbox->tenant,
		clock_unix_ms() / 1000);
	json_object_set_new(claims, "iss", json_string(conf->base_url));
	json_object_set_new(claims, "sub", json_string(sandbox->id));
	if (auth_statement(req->worker->auth, "ear+jwt", claims, &token, err) < 0)
		return -1;
	*ret_ear = json_string(token);
	return 0;
}

int verdict_answer_ear(struct web_req *req, const char *sandbox_id, const char *nonce,
	const json_t *evidence, json_t **ret_ear, struct err *err)
{
	auto_json json_t *claim = NULL, *verdict = NULL;
	struct trust_expect expect;
	struct sandbox sandbox;

	*ret_ear = json_null();
	if (!json_is_object(json_object_get(evidence, "report")))
		return 0;
	if (store_get(req->worker->db, req->arena, req->principal->tenant, sandbox_id, &sandbox,
		    err) < 0)
		return -1;
	claim = json_loads(sandbox.claim, 0, NULL);
	expect = verdict_expect(&sandbox, claim, nonce);
	if (appraise(req, &sandbox, evidence, &expect, EVIDENCE_OFFLINE, &verdict, err) < 0)
		return -1;
	return verdict_ear(req, &sandbox, evidence, verdict, ret_ear, err);
}

int verdict_keys(struct web_req *req, struct web_res *res, struct err *err)
{
	json_t *key;

	if (auth_statement_key(req->worker->auth, &key, err) < 0)
		return -1;
	res->json = json_pack("{s:[o]}", "keys", key);
	return 0;
}
