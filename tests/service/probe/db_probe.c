/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives lib/db.h from test_db.py: one command a line, fields split by tabs; the answer is one
 * line, "ok<tab>…" or "<code><tab>detail". Environment: DATABASE, OWNER_DATABASE.
 *
 *   run SCOPE STATEMENT PARAM…
 *       SCOPE: none, sweep, owner/id, tenant or tenant/space. Answers affected, rows.
 *   together SCOPE…
 *       db_read_all of the notes in each scope; in "error" a statement that fails, in "began" the
 *       time of the transaction. Answers each one's text or code.
 *   bump TENANT ID
 *       db_tx: reads a fence, in its first attempt says "paused" and waits for a line, writes it
 *       plus one. Answers the number of attempts.
 *   refuse TENANT
 *       db_tx whose work inserts a note and then fails by itself
 *   swallow TENANT
 *       db_tx whose work goes on after a statement failed
 *   types
 *       the readers of columns
 *   ping, migrate N, migrated N
 *       N: how many migrations are known; -1: all, the first one edited
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/db.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "tests/service/probe/migrations.h"
#include "tests/service/probe/queries.h"

#define MAX_FIELDS 16
#define MAX_COLUMNS 3

static const struct statement {
	const struct sql *sql;
	const char *columns[MAX_COLUMNS];
} statements[] = {
	{ &SQL_NOTE_INSERT, { NULL } },
	{ &SQL_NOTE_LIST, { "id", "body" } },
	{ &SQL_NOTE_BODY, { "body" } },
	{ &SQL_NOTE_FENCE, { "fence" } },
	{ &SQL_NOTE_SET_FENCE, { "fence" } },
	{ &SQL_NOTE_ALL, { "id", "body" } },
	{ &SQL_NOTE_CLAIM, { "tenant_id", "id", "fence" } },
	{ &SQL_NOTE_SET_BODY, { NULL } },
	{ &SQL_REMARK_INSERT, { NULL } },
	{ &SQL_REMARK_LIST, { "id" } },
	{ &SQL_OUTBOX_INSERT, { NULL } },
	{ &SQL_OUTBOX_DRAIN, { "topic", "key" } },
	{ &SQL_NAP, { "slept" } },
	{ &SQL_BACKEND, { "pid" } },
	{ &SQL_SETTINGS, { "settings" } },
};

struct line {
	char text[4096];
	char *fields[MAX_FIELDS];
	int n_fields;
};

static bool read_line(struct line *line)
{
	char *rest = line->text;

	if (!fgets(line->text, sizeof(line->text), stdin))
		return false;
	line->text[strcspn(line->text, "\n")] = '\0';
	memset(line->fields, 0, sizeof(line->fields));
	line->n_fields = 0;
	while (rest && line->n_fields < MAX_FIELDS)
		line->fields[line->n_fields++] = strsep(&rest, "\t");
	return true;
}

static void answer(int status, const struct err *err, const char *text)
{
	if (status)
		printf("%s\t%s\n", err->code, err->detail);
	else
		printf("ok\t%s\n", text);
	fflush(stdout);
}

/* --- run --- */

static const struct statement *statement_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
		if (strcmp(statements[i].sql->name, name) == 0)
			return &statements[i];
	}
	fprintf(stderr, "no statement %s\n", name);
	exit(2);
}

static char *rows_text(const struct db_rows *rows, const struct statement *statement)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fprintf(out, "%lld\t", db_affected(rows));
	for (size_t row = 0; row < db_count(rows); row++) {
		fputs(row ? ";" : "", out);
		for (size_t i = 0; i < MAX_COLUMNS && statement->columns[i]; i++)
			fprintf(out, "%s%s", i ? "," : "",
				db_text(rows, row, statement->columns[i]));
	}
	fclose(out);
	return text;
}

static void run(struct db *db, struct line *line)
{
	const struct statement *statement = statement_named(line->fields[2]);
	char *space = line->fields[1];
	const struct db_scope tenant = { .tenant_id = strsep(&space, "/"), .space_ids = space };
	const struct db_scope *sweep = DB_SWEEP; /* lives as long as this block */
	const struct db_scope *owner = DB_OWNER(&SQL_NOTE_OWNER, space, "tnt_nobody");
	const struct db_scope *scope = &tenant;
	auto_rows struct db_rows *rows = NULL;
	auto_free char *text = NULL;
	struct err err = { .kind = ERR_NONE };
	int status;

	if (strcmp(tenant.tenant_id, "none") == 0)
		scope = NULL;
	else if (strcmp(tenant.tenant_id, "sweep") == 0)
		scope = sweep;
	else if (strcmp(tenant.tenant_id, "owner") == 0)
		scope = owner;
	status = db_run(db, scope, statement->sql, (const char *const *)&line->fields[3],
		line->n_fields - 3, &rows, &err);
	if (status == 0)
		text = rows_text(rows, statement);
	answer(status, &err, text);
}

/* --- reads together --- */

static void read_in(char *scope, const char *params[2], struct db_read *ret_read)
{
	bool fails = strcmp(scope, "error") == 0, began = strcmp(scope, "began") == 0;

	params[0] = strsep(&scope, "/");
	*ret_read = (struct db_read) {
		.scope = { .tenant_id = params[0], .space_ids = scope },
		.sql = fails   ? &SQL_FAULT
		       : began ? &SQL_BEGAN
			       : &SQL_NOTE_VISIBLE,
		.params = params,
		.n_params = fails ? 1 : 0,
	};
}

static void together(struct db *db, struct line *line)
{
	struct db_read reads[MAX_FIELDS];
	const char *params[MAX_FIELDS][2];
	size_t count = (size_t)line->n_fields - 1;

	for (size_t i = 0; i < count; i++)
		read_in(line->fields[i + 1], params[i], &reads[i]);
	db_read_all(db, reads, count);
	printf("ok");
	for (size_t i = 0; i < count; i++) {
		const struct db_rows *rows = reads[i].rows;

		printf("\t%s", rows ? db_text(rows, 0, "notes") : reads[i].err.code);
		db_rows_free(reads[i].rows);
	}
	printf("\n");
	fflush(stdout);
}

/* --- transactions --- */

struct bump {
	const char *tenant, *id;
	int attempts;
};

static int bump_work(struct db *db, void *arg, struct err *err)
{
	struct bump *bump = arg;
	auto_rows struct db_rows *rows = NULL;
	struct line line;
	char fence[24];

	if (db_exec(db, &SQL_NOTE_FENCE, DB_PARAMS(bump->tenant, bump->id), &rows, err))
		return -1;
	if (++bump->attempts == 1) {
		puts("paused");
		fflush(stdout);
		read_line(&line);
	}
	snprintf(fence, sizeof(fence), "%lld", db_number(rows, 0, "fence") + 1);
	return db_exec(
		db, &SQL_NOTE_SET_FENCE, DB_PARAMS(bump->tenant, bump->id, fence), NULL, err);
}

static void bump(struct db *db, const struct line *line)
{
	struct bump bump = { .tenant = line->fields[1], .id = line->fields[2] };
	struct err err = { .kind = ERR_NONE };
	char text[64];
	int status = db_tx(db, DB_TENANT(bump.tenant), bump_work, &bump, &err);

	snprintf(text, sizeof(text), "%d%s", bump.attempts, err.kind ? " err touched" : "");
	answer(status, &err, text);
}

static int refuse_work(struct db *db, void *arg, struct err *err)
{
	if (db_exec(db, &SQL_NOTE_INSERT, DB_PARAMS(arg, "spc", "refused", "x"), NULL, err))
		return -1;
	return err_set(err, ERR_FORBIDDEN, "probe.refused", "own reason");
}

static int swallow_work(struct db *db, void *arg, struct err *err)
{
	if (db_exec(db, &SQL_NOTE_INSERT, DB_PARAMS(arg, "spc", "swallowed", "x"), NULL, err))
		return -1;
	if (db_exec(db, &SQL_NOTE_INSERT, DB_PARAMS(arg, "spc", "swallowed", "x"), NULL, NULL))
		return 0;
	return -1;
}

static void transact(struct db *db, db_work *work, char *tenant)
{
	struct err err = { .kind = ERR_NONE };

	answer(db_tx(db, DB_TENANT(tenant), work, tenant, &err), &err, "");
}

/* --- the rest --- */

static void types(struct db *db)
{
	auto_arena struct arena *arena = arena_new();
	auto_rows struct db_rows *rows = NULL;
	struct err err = { .kind = ERR_NONE };
	char text[128] = "";
	int status = db_run(db, NULL, &SQL_ECHO, DB_PARAMS("a"), &rows, &err);

	if (status == 0)
		snprintf(text, sizeof(text), "%s %d %d %s %d %lld %lld", db_text(rows, 0, "text"),
			db_is_null(rows, 0, "nothing"), db_is_null(rows, 0, "text"),
			db_text_in(rows, 0, "nothing", arena) ? "text" : "null",
			db_bool(rows, 0, "yes"), db_number(rows, 0, "number"),
			db_number(rows, 0, "nothing"));
	answer(status, &err, text);
}

static void migrations_command(struct db *db, const struct line *line)
{
	long count = strtol(line->fields[1], NULL, 10);
	struct migration known[ARRAY_LEN(migrations)];
	struct err err = { .kind = ERR_NONE };
	int status;

	memcpy(known, migrations, sizeof(known));
	if (count < 0)
		known[0].sql = "SELECT 1";
	else
		known[count].name = NULL;
	if (strcmp(line->fields[0], "migrate") == 0)
		status = db_migrate(getenv("OWNER_DATABASE"), "probe", known, &err);
	else
		status = db_migrated(db, "probe", known, &err);
	answer(status, &err, "");
}

static void ping(struct db *db)
{
	struct err err = { .kind = ERR_NONE };

	answer(db_ping(db, &err), &err, "");
}

static void obey(struct db *db, struct line *line)
{
	const char *command = line->fields[0];

	if (strcmp(command, "run") == 0)
		run(db, line);
	else if (strcmp(command, "together") == 0)
		together(db, line);
	else if (strcmp(command, "bump") == 0)
		bump(db, line);
	else if (strcmp(command, "refuse") == 0)
		transact(db, refuse_work, line->fields[1]);
	else if (strcmp(command, "swallow") == 0)
		transact(db, swallow_work, line->fields[1]);
	else if (strcmp(command, "types") == 0)
		types(db);
	else if (strcmp(command, "ping") == 0)
		ping(db);
	else
		migrations_command(db, line);
}

int main(void)
{
	struct db *db = db_new(getenv("DATABASE"));
	struct line line;

	log_open("probe", LOG_LEVEL_WARN);
	while (read_line(&line))
		obey(db, &line);
	db_free(db);
	return 0;
}
