/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls of store_attestations.h. The subject of an agent's token is its sandbox, and the
 * token says which boot. */
#include "services/provisioner/store_attestations.h"

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/id.h"
#include "lib/mem.h"
#include "services/provisioner/queries.h"

#define RETRY_S 5

/* --- vTPMs --- */

int store_vtpm_put(
	struct db *db, const struct sandbox *sandbox, const struct vtpm_row *row, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(sandbox->tenant), &SQL_VTPM_PUT,
		    DB_PARAMS(sandbox->tenant, sandbox->space, sandbox->id,
			    DB_NUMBER(sandbox->boot), row->ek_certificate, row->ak,
			    row->activation_hash),
		    &rows, err) < 0)
		return -1;
	return db_count(rows) ? 0
			      : err_set(err, ERR_CONFLICT, "enrolment.other_keys",
					"this boot introduced itself with another attestation key");
}

int store_vtpm_get(struct db *db, struct arena *arena, const struct sandbox *sandbox,
	struct vtpm_row *ret_row, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	*ret_row = (struct vtpm_row) { .ak = NULL };
	if (db_run(db, DB_TENANT(sandbox->tenant), &SQL_VTPM_GET,
		    DB_PARAMS(sandbox->tenant, sandbox->id, DB_NUMBER(sandbox->boot)), &rows,
		    err) < 0)
		return -1;
	if (db_count(rows))
		*ret_row = (struct vtpm_row) { db_text_in(rows, 0, "ek_certificate", arena),
			db_text_in(rows, 0, "ak", arena),
			db_text_in(rows, 0, "activation_hash", arena) };
	return 0;
}

int store_vtpm_verdict(
	struct db *db, const struct sandbox *sandbox, const char *verdict, struct err *err)
{
	return db_run(db, DB_TENANT(sandbox->tenant), &SQL_VTPM_VERDICT,
		DB_PARAMS(sandbox->tenant, sandbox->id, DB_NUMBER(sandbox->boot), verdict), NULL,
		err);
}

/* --- members --- */

struct add_work {
	struct web_req *req;
	const struct sandbox *sandbox;
	const char *nonce, *credential, *id;
};

static int add_work(struct db *db, void *arg, struct err *err)
{
	const struct add_work *work = arg;
	const struct sandbox *sandbox = work->sandbox;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_ATTESTATION_INSERT,
		    DB_PARAMS(sandbox->tenant, sandbox->space, work->id, sandbox->id,
			    DB_NUMBER(sandbox->boot), work->req->principal->subject, work->nonce,
			    work->credential),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0) {
		err_set(err, ERR_LIMITED, "attestation.too_many",
			"the sandbox's agent is asked often enough");
		err->retry_s = RETRY_S;
		return -1;
	}
	audit(db, &(const struct audit_act) {
			  .action = "attest", .on = sandbox->id, .space = sandbox->space });
	return 0;
}

/* The same question, asked again because its answer was lost. */
static int find_same(struct web_req *req, const struct sandbox *sandbox, const char *nonce,
	const char **ret_id, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(sandbox->tenant), &SQL_ATTESTATION_SAME,
		    DB_PARAMS(sandbox->tenant, sandbox->id, DB_NUMBER(sandbox->boot), nonce,
			    req->principal->subject),
		    &rows, err) < 0)
		return -1;
	*ret_id = db_count(rows) ? db_text_in(rows, 0, "id", req->arena) : NULL;
	return 0;
}

int store_attestation_add(struct web_req *req, const struct sandbox *sandbox, const char *nonce,
	const char *credential, const char **ret_id, struct err *err)
{
	struct add_work work = { req, sandbox, nonce, credential, NULL };
	char id[ID_SIZE];

	if (find_same(req, sandbox, nonce, ret_id, err) < 0)
		return -1;
	if (*ret_id)
		return 0;
	id_new("att", id);
	work.id = *ret_id = arena_strdup(req->arena, id);
	return db_tx(req->worker->db, DB_TENANT(sandbox->tenant), add_work, &work, err);
}

static int not_found(const char *id, struct err *err)
{
	return err_set(
		err, ERR_NOT_FOUND, "attestation.not_found", "there is no attestation '%s'", id);
}

int store_attestation_get(struct web_req *req, const char *sandbox_id, const char *id,
	struct attestation *ret_attestation, struct err *err)
{
	const struct principal *who = req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_SPACES(who->tenant, who->spaces), &SQL_ATTESTATION_BY_ID,
		    DB_PARAMS(who->tenant, sandbox_id, id), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return not_found(id, err);
#define TEXT(column) db_text_in(rows, 0, column, req->arena)
	*ret_attestation = (struct attestation) {
		.id = TEXT("id"),
		.state = TEXT("state"),
		.nonce = TEXT("nonce"),
		.activated = TEXT("activated"),
		.evidence = TEXT("evidence"),
		.failure_code = TEXT("failure_code"),
		.failure_detail = TEXT("failure_detail"),
		.created_at = TEXT("created_at"),
		.updated_at = TEXT("updated_at"),
		.boot = db_number(rows, 0, "boot"),
		.revision = db_number(rows, 0, "revision"),
	};
	return 0;
}

/* --- the agent --- */

static const char *boot_of(const struct web_req *req)
{
	return arena_printf(req->arena, "%lld",
		(long long)json_integer_value(json_object_get(req->principal->claims, "boot")));
}

int store_attestation_next(
	struct web_req *req, struct attestation *ret_attestation, bool *ret_found, struct err *err)
{
	const struct principal *agent = req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(agent->tenant), &SQL_ATTESTATION_NEXT,
		    DB_PARAMS(agent->tenant, agent->subject, boot_of(req)), &rows, err) < 0)
		return -1;
	*ret_found = db_count(rows) > 0;
	if (*ret_found)
		*ret_attestation = (struct attestation) {
			.id = TEXT("id"), .nonce = TEXT("nonce"), .credential = TEXT("credential")
		};
#undef TEXT
	return 0;
}

int store_attestation_answer(
	struct web_req *req, const struct attestation *attestation, struct err *err)
{
	const char *tenant = req->principal->tenant, *sandbox = req->principal->subject;
	auto_rows struct db_rows *rows = NULL, *known = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), &SQL_ATTESTATION_ANSWER,
		    DB_PARAMS(tenant, sandbox, boot_of(req), attestation->id, attestation->state,
			    attestation->activated, attestation->evidence,
			    attestation->failure_code, attestation->failure_detail),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows))
		return 0;
	if (db_run(req->worker->db, DB_TENANT(tenant), &SQL_ATTESTATION_EXISTS,
		    DB_PARAMS(tenant, sandbox, boot_of(req), attestation->id), &known, err) < 0)
		return -1;
	return db_count(known) ? 0 : not_found(attestation->id, err);
}
