/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migrations, as the schema's owner: one at a time under an advisory lock, each in a transaction of
 * its own. The owner may not outwait the running service (lock_timeout). The first call also makes
 * the schema, the table of what was applied, the domain that makes an unset scope an error, the
 * function by which migrations put a table under row-level security, and lib/audit.c's table.
 */
#include <string.h>

#include "lib/db.h"
#include "lib/db_conn.h"
#include "lib/digest.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service.h"

#define SCHEMA_MAX_CHARS 40u /* with _sweep below Postgres' 63 */

struct owner {
	PGconn *pg;
	const char *schema;
};

static bool is_schema_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return len > 0 && len <= SCHEMA_MAX_CHARS && !name[len] && (name[0] < '0' || name[0] > '9');
}

/* A service named registry-gw has the schema registry_gw. */
static char *schema_of(const char *name)
{
	char *schema = mem_strdup(name);

	for (char *c = schema; *c; c++) {
		if (*c == '-')
			*c = '_';
	}
	return schema;
}

/* --- statements as the owner --- */

static int refuse(
	const struct owner *owner, const PGresult *result, const char *what, struct err *err)
{
	if (PQstatus(owner->pg) != CONNECTION_OK)
		return db_conn_unavailable(owner->pg, err);
	return db_conn_refuse(result, what, err);
}

/* Any number of statements, no parameters. */
static int run_text(const struct owner *owner, const char *what, const char *text, struct err *err)
{
	PGresult *result = PQexec(owner->pg, text);
	ExecStatusType status = PQresultStatus(result);
	int failed = status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
		     status != PGRES_EMPTY_QUERY;

	if (failed)
		refuse(owner, result, what, err);
	PQclear(result);
	return failed ? -1 : 0;
}

static int run_params(const struct owner *owner, const char *text, const char *const *params,
	int n_params, struct err *err)
{
	PGresult *result = PQexecParams(owner->pg, text, n_params, NULL, params, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);
	int failed = status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;

	if (failed)
		refuse(owner, result, "migration", err);
	PQclear(result);
	return failed ? -1 : 0;
}

/* Waits for another --migrate, then lets nothing else wait long for us. */
static int lock(const struct owner *owner, struct err *err)
{
	const char *params[] = { owner->schema };

	if (run_text(owner, "session", "SET statement_timeout = '60s'", err) ||
		run_params(owner, "SELECT pg_advisory_lock(hashtext('strongroom.migrate.' || $1))",
			params, 1, err))
		return -1;
	return run_text(
		owner, "session", "SET statement_timeout = 0; SET lock_timeout = '5s'", err);
}

static const char bootstrap_text[] = "SET client_min_messages = warning;\n"
				     "CREATE SCHEMA IF NOT EXISTS %1$s;\n"
				     "SET search_path = %1$s, pg_temp;\n"
				     "GRANT USAGE ON SCHEMA %1$s TO %1$s, %1$s_sweep;\n"
				     "CREATE TABLE IF NOT EXISTS schema_version (\n"
				     "	name text PRIMARY KEY,\n"
				     "	sha256 text NOT NULL,\n"
				     "	applied_at timestamptz NOT NULL DEFAULT now()\n"
				     ");\n"
				     "GRANT SELECT ON schema_version TO %1$s;\n"
				     "DO $$ BEGIN\n"
				     "	IF to_regtype('%1$s.scope_id') IS NULL THEN\n"
				     "		CREATE DOMAIN scope_id AS text CONSTRAINT "
				     "scope_is_set CHECK (VALUE <> '');\n"
				     "	END IF;\n"
				     "END $$;\n";

/* tenant_rows('table', …): docs/ROW-LEVEL-SECURITY.md. Without WITH CHECK, a policy's condition is
 * that of new rows too. */
static const char tenant_rows_text[] =
	"CREATE OR REPLACE FUNCTION tenant_rows(VARIADIC names text[]) RETURNS void\n"
	"LANGUAGE plpgsql AS $$\n"
	"DECLARE\n"
	"	name text;\n"
	"BEGIN\n"
	"	FOREACH name IN ARRAY names LOOP\n"
	"		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);\n"
	"		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);\n"
	"		EXECUTE format('CREATE POLICY tenant ON %I TO %I USING '\n"
	"			'(tenant_id = current_setting(''app.tenant_id'')::scope_id)',\n"
	"			name, current_schema());\n"
	"		CONTINUE WHEN NOT EXISTS (SELECT 1 FROM pg_attribute\n"
	"			WHERE attname = 'space_id'\n"
	"			AND attrelid = quote_ident(name)::regclass);\n"
	"		EXECUTE format('CREATE POLICY space ON %I FOR SELECT TO %I USING '\n"
	"			'(space_id = ANY (string_to_array('\n"
	"			'current_setting(''app.space_ids''), '','')))',\n"
	"			name, current_schema());\n"
	"	END LOOP;\n"
	"END $$;\n"
	"REVOKE EXECUTE ON FUNCTION tenant_rows(text[]) FROM PUBLIC;\n";

/* Records of security decisions on their way to certreg: a tenant's scope writes them, the sweep
 * hands them over. */
static const char audit_text[] =
	"DO $$ BEGIN\n"
	"	IF to_regclass('%1$s.audit_outbox') IS NULL THEN\n"
	"		CREATE TABLE audit_outbox (tenant_id text NOT NULL,\n"
	"			id bigint GENERATED ALWAYS AS IDENTITY, record text NOT NULL,\n"
	"			PRIMARY KEY (tenant_id, id));\n"
	"		CREATE INDEX audit_outbox_id ON audit_outbox (id);\n"
	"		PERFORM tenant_rows('audit_outbox');\n"
	"		CREATE POLICY sweep ON audit_outbox TO %1$s_sweep USING (true);\n"
	"		GRANT INSERT ON audit_outbox TO %1$s;\n"
	"		GRANT SELECT (id, record), DELETE ON audit_outbox TO %1$s_sweep;\n"
	"	END IF;\n"
	"END $$;\n";

static int bootstrap(const struct owner *owner, struct err *err)
{
	auto_free char *schema = mem_printf(bootstrap_text, owner->schema);
	auto_free char *audit = mem_printf(audit_text, owner->schema);

	if (run_text(owner, "bootstrap", schema, err) ||
		run_text(owner, "bootstrap", tenant_rows_text, err))
		return -1;
	return run_text(owner, "bootstrap", audit, err);
}

/* --- comparing what is applied with what we have --- */

static const struct migration *find(const struct migration *migrations, const char *name)
{
	for (const struct migration *m = migrations; m->name; m++) {
		if (strcmp(m->name, name) == 0)
			return m;
	}
	return NULL;
}

/* `applied` has the columns name, sha256. */
static int check_applied(
	const struct db_rows *applied, const struct migration *migrations, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];

	for (size_t row = 0; row < db_count(applied); row++) {
		const char *name = db_text(applied, row, "name");
		const struct migration *m = find(migrations, name);

		if (!m)
			return err_set(err, ERR_UNAVAILABLE, "db.schema_new",
				"migration '%s' is applied but not known to this program", name);
		digest_text(m->sql, strlen(m->sql), digest);
		if (strcmp(db_text(applied, row, "sha256"), digest) != 0)
			return err_set(err, ERR_INTERNAL, "db.migration_changed",
				"migration '%s' was changed after it was applied", name);
	}
	return 0;
}

static bool is_applied(const struct db_rows *applied, const char *name)
{
	for (size_t row = 0; row < db_count(applied); row++) {
		if (strcmp(db_text(applied, row, "name"), name) == 0)
			return true;
	}
	return false;
}

/* --- applying --- */

static int record(const struct owner *owner, const struct migration *migration, struct err *err)
{
	auto_free char *text = mem_printf(
		"INSERT INTO %s.schema_version (name, sha256) VALUES ($1, $2)", owner->schema);
	char digest[DIGEST_TEXT_SIZE];
	const char *params[] = { migration->name, digest };

	digest_text(migration->sql, strlen(migration->sql), digest);
	return run_params(owner, text, params, 2, err);
}

static int apply(const struct owner *owner, const struct migration *migration, struct err *err)
{
	if (run_text(owner, "migration", "BEGIN", err) ||
		run_text(owner, migration->name, migration->sql, err))
		return -1;
	if (PQtransactionStatus(owner->pg) != PQTRANS_INTRANS)
		return err_set(err, ERR_INTERNAL, "db.migration_invalid",
			"migration '%s' ends its own transaction", migration->name);
	if (record(owner, migration, err) || run_text(owner, migration->name, "COMMIT", err))
		return -1;
	log_info("migration applied", "schema", owner->schema, "name", migration->name, NULL);
	return 0;
}

static int migrate(const struct owner *owner, const struct migration *migrations, struct err *err)
{
	auto_rows struct db_rows *applied = NULL;
	PGresult *result;

	if (lock(owner, err) || bootstrap(owner, err))
		return -1;
	result = PQexec(owner->pg, "SELECT name, sha256 FROM schema_version ORDER BY name");
	applied = db_rows_new(result);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return refuse(owner, result, "schema_version", err);
	if (check_applied(applied, migrations, err))
		return -1;
	for (const struct migration *m = migrations; m->name; m++) {
		if (!is_applied(applied, m->name) && apply(owner, m, err))
			return -1;
	}
	return 0;
}

int db_migrate(const char *owner_conninfo, const char *schema, const struct migration *migrations,
	struct err *err)
{
	auto_free char *name = schema_of(schema);
	struct owner owner = { .schema = name };
	int status;

	if (!is_schema_name(name))
		return err_set(err, ERR_INTERNAL, "db.schema_name", "bad schema name '%s'", schema);
	owner.pg = db_conn_connect(owner_conninfo, err);
	if (!owner.pg)
		return -1;
	status = migrate(&owner, migrations, err);
	PQfinish(owner.pg); /* also rolls back, and gives the lock back */
	return status;
}

int db_migrated(
	struct db *db, const char *schema, const struct migration *migrations, struct err *err)
{
	auto_free char *name = schema_of(schema);
	auto_free char *text =
		mem_printf("SELECT name, sha256 FROM %s.schema_version ORDER BY name", name);
	const struct sql sql = { "db_schema_version", text, 0 };
	auto_rows struct db_rows *applied = NULL;

	if (!is_schema_name(name))
		return err_set(err, ERR_INTERNAL, "db.schema_name", "bad schema name '%s'", schema);
	if (db_run(db, NULL, &sql, DB_NO_PARAMS, &applied, err) ||
		check_applied(applied, migrations, err))
		return -1;
	for (const struct migration *m = migrations; m->name; m++) {
		if (!is_applied(applied, m->name))
			return err_set(err, ERR_UNAVAILABLE, "db.schema_old",
				"migration '%s' is not applied", m->name);
	}
	return 0;
}
