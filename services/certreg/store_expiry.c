/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates that end, by time or by revocation: warnings, and the standing of issued serials. */
#include "services/certreg/queries.h"
#include "services/certreg/store_certificates.h"
#include "services/certreg/store_rows.h"

int store_certificate_ends(
	struct db *db, const char *tenant_id, struct certificate_ends *ret_ends, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_CERTIFICATE_ENDS, DB_PARAMS(tenant_id), &rows,
		    err) < 0)
		return -1;
	*ret_ends = (struct certificate_ends) {
		.earliest = db_number(rows, 0, "earliest"),
		.within = { db_number(rows, 0, "day"), db_number(rows, 0, "week"),
			db_number(rows, 0, "fortnight"), db_number(rows, 0, "month") },
	};
	return 0;
}

struct warning {
	const char *tenant;
	store_warning_visit *visit;
	void *arg;
};

static int warn(struct db *db, void *arg, struct err *err)
{
	const struct warning *warning = arg;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_CERTIFICATE_WARN, DB_PARAMS(warning->tenant), &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows); i++) {
		struct certificate_warning one = {
			.tenant = warning->tenant,
			.space = db_text(rows, i, "space_id"),
			.id = db_text(rows, i, "id"),
			.member = db_text(rows, i, "member_id"),
			.name = db_text(rows, i, "name"),
			.not_after = db_text(rows, i, "not_after"),
			.days = db_number(rows, i, "warned_days"),
		};

		if (warning->visit(db, &one, warning->arg, err) < 0)
			return -1;
	}
	return 0;
}

int store_certificates_warn(struct db *db, const char *tenant_id, store_warning_visit *visit,
	void *arg, struct err *err)
{
	struct warning warning = { .tenant = tenant_id, .visit = visit, .arg = arg };

	return db_tx(db, DB_TENANT(tenant_id), warn, &warning, err);
}

static struct issued_state issued_of(const struct db_rows *rows, size_t row, struct arena *arena)
{
	return (struct issued_state) {
		.is_known = true,
		.is_revoked = true,
		.revoked_at = db_number(rows, row, "revoked_at"),
		.reason = store_text(rows, row, "reason", arena),
	};
}

int store_issued_state(struct db *db, const char *serial, struct arena *arena,
	struct issued_state *ret_state, struct err *err)
{
	struct issued_state state = { .serial = serial };
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, NULL, &SQL_ISSUED_STATE, DB_PARAMS(serial), &rows, err) < 0)
		return -1;
	if (db_count(rows) > 0) {
		state = issued_of(rows, 0, arena);
		state.is_revoked = db_bool(rows, 0, "revoked");
		state.serial = serial;
	}
	*ret_state = state;
	return 0;
}

int store_issued_mark(struct db *db, struct arena *arena, const char **ret_mark, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, NULL, &SQL_ISSUED_MARK, DB_NO_PARAMS, &rows, err) < 0)
		return -1;
	*ret_mark = db_text_in(rows, 0, "mark", arena);
	return 0;
}

int store_issued_revoked(struct db *db, store_issued_visit *visit, void *arg, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, NULL, &SQL_ISSUED_REVOKED, DB_NO_PARAMS, &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows); i++) {
		struct issued_state state = issued_of(rows, i, NULL);

		state.serial = db_text(rows, i, "serial");
		if (visit(&state, arg, err) < 0)
			return -1;
	}
	return 0;
}
