/* SPDX-License-Identifier: Apache-2.0 */
/* A question is a nonce and, of a measured VM, a credential; it is asked again until it was
 * answered, by whatever the TPM says to it. */
#include "agent/attest.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/api.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

#define POLL_TIMEOUT_MS 45000 /* the server waits up to 30 s */
#define BEAT_MS 1000

static json_t *failure_of(const struct err *err)
{
	return json_pack("{s:{s:s,s:s}}", "failure", "code", err->code, "detail", err->detail);
}

static int prove(const struct machine *machine, const json_t *question, char **ret_activated,
	json_t **ret_evidence, struct err *err)
{
	const json_t *credential = json_object_get(question, "credential");
	const char *nonce = json_text(question, "nonce");

	if (json_is_object(credential) && !machine->tpm)
		return err_set(err, ERR_NOT_FOUND, "tpm.missing",
			"a credential came, and this sandbox has no TPM");
	if (json_is_object(credential) &&
		tpmdev_activate(machine->tpm, credential, ret_activated, err) < 0)
		return -1;
	return machine_evidence(machine, nonce ? nonce : "", ret_evidence, err);
}

static json_t *answer_to(const struct machine *machine, const json_t *question)
{
	auto_json json_t *evidence = NULL;
	auto_free char *activated = NULL;
	struct err err = { 0 };

	if (prove(machine, question, &activated, &evidence, &err) < 0) {
		log_failure("an attestation failed", &err);
		return failure_of(&err);
	}
	return json_pack("{s:s*,s:O}", "activated", activated, "evidence", evidence);
}

static int send_answer(struct api *api, const char *id, const json_t *answer, struct err *err)
{
	auto_free char *path = mem_printf("/v1/agent/attestations/%s", id);
	const struct fetch_request req = { .method = "PUT", .url = path };
	auto_json json_t *nothing = NULL;

	return api_call(api, &req, answer, &nothing, err);
}

static int serve_one(struct api *api, bool *ret_asked, struct err *err)
{
	const struct fetch_request req = { .method = "GET",
		.url = "/v1/agent/attestations?wait=30s",
		.timeout_ms = POLL_TIMEOUT_MS };
	auto_json json_t *question = NULL, *answer = NULL;
	const char *id;

	if (api_try(api, &req, NULL, &question, NULL, err) < 0)
		return -1;
	*ret_asked = question != NULL;
	if (!question)
		return 0;
	id = json_text(question, "id");
	if (!id || !id_is(id, "att"))
		return err_set(err, ERR_UPSTREAM, "upstream.protocol", "the attestation has no id");
	answer = answer_to(api->machine, question);
	return send_answer(api, id, answer, err);
}

static void *serve(void *arg)
{
	struct edge_patience patience = edge_patience_new();
	struct api *api = arg;

	for (;;) {
		long long asked_ms = clock_monotonic_ms();
		struct err err = { 0 };
		bool asked = false;

		if (serve_one(api, &asked, &err) < 0) {
			if (!edge_wait(&patience, &err))
				usleep(BEAT_MS * 1000);
			continue;
		}
		edge_progress(&patience);
		if (!asked && clock_monotonic_ms() - asked_ms < BEAT_MS)
			usleep(BEAT_MS * 1000);
	}
	return NULL;
}

int attest_start(const struct machine *machine, struct err *err)
{
	struct api *api = mem_alloc(sizeof(*api));
	struct edge *edge = NULL;
	pthread_t thread;

	if (edge_new(machine->initdata, &edge, err) < 0) {
		free(api);
		return -1;
	}
	api_init(api, edge, machine, "provisioner");
	if (pthread_create(&thread, NULL, serve, api) != 0) {
		edge_free(edge);
		free(api);
		return err_set(err, ERR_INTERNAL, "internal.system", "no thread for attestations");
	}
	pthread_detach(thread);
	return 0;
}
