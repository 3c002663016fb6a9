/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom setup: questions on the terminal, or --answers FILE; makes main.yml, the folders and
 * the projection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/files.h"
#include "client/projection.h"
#include "client/session.h"
#include "client/setup_plan.h"
#include "client/state.h"
#include "client/yaml_flat.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "answers", "FILE", "YAML with the answers instead of questions" },
	{ "accept-evidence", "CLASS",
		"tee, software-tpm or none: the weakest that this project accepts" },
	{ "force", NULL, "replace main.yml" },
	{ NULL, NULL, NULL },
};

static const struct question {
	const char *key, *text, *fallback;
} questions[] = {
	{ "name", "Name of the project (pipeline)", "project" },
	{ "template", "Template of the sandbox", "measured-small" },
	{ "accept_evidence", "Weakest evidence to accept (tee, software-tpm, none)", "tee" },
	{ "code.mode", "Code from git or local", "local" },
	{ "code.url", "Repository or folder", "app" },
	{ "code.ref", "Branch, tag or commit (empty: as it comes)", "" },
	{ "code.path", "Folder of the Containerfile within it", "." },
	{ "image.archive", "OCI or docker archive instead of building (empty: build)", "" },
	{ "app.name", "Application that the image is (empty: none)", "" },
	{ "app.config", "Its configuration (empty: none)", "" },
	{ "data", "Data file (CSV)", "" },
	{ "projection.name", "Projection", "" },
	{ "projection.columns", "Its columns (A,B; empty: all that the data file has now)", "" },
	{ "projection.filter", "Its row filter (A=x&B>=3; empty: none)", "" },
	{ "projection.minimum_rows", "Fewest rows it may have", "1" },
};

static int ask(const struct question *question, json_t *answers, struct err *err)
{
	auto_free char *line = NULL;
	size_t size = 0;

	fprintf(stderr, "%s [%s]: ", question->text, question->fallback);
	if (getline(&line, &size, stdin) < 0)
		return err_set(
			err, ERR_INVALID, "setup.answers", "no answer to '%s'", question->text);
	line[strcspn(line, "\r\n")] = '\0';
	json_object_set_new(answers, question->key, json_string(*line ? line : question->fallback));
	return 0;
}

static int ask_all(json_t *answers, struct err *err)
{
	if (!isatty(STDIN_FILENO))
		return err_set(
			err, ERR_INVALID, "setup.answers", "no terminal: give --answers FILE");
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		if (ask(&questions[i], answers, err) < 0)
			return -1;
	}
	return 0;
}

static bool is_known(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		if (strcmp(questions[i].key, key) == 0)
			return true;
	}
	return strncmp(key, "limits.", 7) == 0 || strncmp(key, "parameters.", 11) == 0;
}

/* A list of columns is joined: columns.0, columns.1, … come in order. */
static void add_column(json_t *answers, const char *column)
{
	const char *before = json_text(answers, "projection.columns");

	json_object_set_new(answers, "projection.columns",
		before ? json_sprintf("%s,%s", before, column) : json_string(column));
}

static int read_answers(const char *path, json_t *answers, struct err *err)
{
	struct yaml_flat flat = { 0 };
	int result = 0;

	if (yaml_flat_read(path, &flat, err) < 0)
		return -1;
	for (size_t i = 0; i < flat.n_values && result == 0; i++) {
		const struct yaml_value *value = &flat.values[i];

		if (strncmp(value->path, "projection.columns.", 19) == 0)
			add_column(answers, value->text);
		else if (is_known(value->path))
			json_object_set_new(answers, value->path, json_string(value->text));
		else
			result = err_set(err, ERR_INVALID, "setup.answers",
				"%s:%u:%u: unknown answer '%s'", path, value->line, value->column,
				value->path);
	}
	yaml_flat_release(&flat);
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		if (!json_object_get(answers, questions[i].key))
			json_object_set_new(
				answers, questions[i].key, json_string(questions[i].fallback));
	}
	return result;
}

/* What the answers ask for; NULL when they name none. */
static int read_projection(const json_t *answers, json_t **ret_body, struct err *err)
{
	const char *name = json_text(answers, "projection.name");
	auto_json json_t *columns = NULL;

	if (!name || !*name)
		return 0;
	if (projection_columns(json_text(answers, "projection.columns"), json_text(answers, "data"),
		    &columns, err) < 0)
		return -1;
	return projection_body(name, columns, json_text(answers, "projection.filter"),
		json_text(answers, "projection.minimum_rows"), ret_body, err);
}

static void say_projection(const struct cli *cli, const json_t *record, const char *what)
{
	auto_free char *columns = json_dumps(json_object_get(record, "columns"), JSON_COMPACT);

	ui_note(cli->ui, "projection '%s' %s: %s", json_text(record, "name"), what, columns);
}

/* The projection, unless there is one of its name. */
static int make_projection(const struct cli *cli, const json_t *body, struct err *err)
{
	auto_json json_t *found = NULL, *made = NULL;
	struct session session;
	int result;

	if (!body)
		return 0;
	if (session_open(&session, cli, err) < 0)
		return -1;
	result = api_find(session.api, "policy", "/v1/projections", "name", json_text(body, "name"),
		&found, err);
	if (result > 0)
		say_projection(cli, found, "was there and stays");
	if (result == 0)
		result = session_post(&session, "policy", "/v1/projections", body, &made, err);
	if (made)
		say_projection(cli, made, "is made");
	session_close(&session);
	return result < 0 ? -1 : 0;
}

static int make_folders(struct err *err)
{
	static const char *const folders[] = { "build", "output", "certs", "app", "policy",
		"artefacts", "keys" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (files_make_dirs(
			    folders[i], strcmp(folders[i], "keys") == 0 ? 0700 : 0755, err) < 0)
			return -1;
	}
	return 0;
}

static int make_state(const json_t *answers, struct err *err)
{
	struct state state;
	auto_json json_t *reg = NULL, *properties = NULL;
	int result;

	if (state_open(&state, true, err) < 0)
		return -1;
	result = state_save(&state, "setup", err);
	if (result == 0)
		result = register_load(&reg, err);
	properties = json_pack("{s:s}", "pipeline_name", json_text(answers, "name"));
	if (result == 0)
		result = register_set(reg, "properties", properties, err);
	state_close(&state);
	return result;
}

static int setup(const struct cli *cli, struct err *err)
{
	const char *path = cli_value(cli, "answers"), *class = cli_value(cli, "accept-evidence");
	auto_json json_t *answers = json_object(), *projection = NULL;
	auto_buf plan = BUF_INIT(65536);

	if (access("main.yml", F_OK) == 0 && !cli_switch(cli, "force"))
		return err_set(err, ERR_CONFLICT, "setup.exists",
			"main.yml is there; --force replaces it");
	if ((path ? read_answers(path, answers, err) : ask_all(answers, err)) < 0)
		return -1;
	if (class)
		json_object_set_new(answers, "accept_evidence", json_string(class));
	if (setup_plan(answers, &plan, err) < 0 || read_projection(answers, &projection, err) < 0 ||
		make_folders(err) < 0 ||
		buf_write_file("main.yml", plan.data, plan.len, 0644, err) < 0 ||
		make_state(answers, err) < 0 || make_projection(cli, projection, err) < 0)
		return -1;
	ui_result(cli->ui, json_pack("{s:s}", "plan", "main.yml"),
		"main.yml is written: strongroom run");
	return 0;
}

const struct command command_setup = { "setup",
	"[--answers FILE] [--accept-evidence CLASS] [--force]",
	"make a project here: main.yml and its folders", options, 0, 0, setup };
