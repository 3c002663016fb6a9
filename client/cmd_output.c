/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom output: the project's own again, or one of somebody else's run whose key is ours. */
#include <string.h>

#include "client/cli.h"
#include "client/files.h"
#include "client/offer.h"
#include "client/output.h"
#include "client/project.h"
#include "client/released.h"
#include "client/session.h"
#include "client/upload.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"

#define ARTEFACTS "artefacts"

static const struct cli_option options[] = {
	{ "plan", "FILE", "instead of main.yml" },
	{ "dest", "DIR", "of fetch: where it is unpacked (output)" },
	{ NULL, NULL, NULL },
};

/* --- get: the last tasks of the plan --- */

static int get_again(const struct cli *cli, struct err *err)
{
	struct project_options given = { cli_value(cli, "plan"), cli->profile, true };
	struct project project;
	int result;

	if (project_open(&project, &given, cli->ui, err) < 0)
		return -1;
	if (!state_outputs(&project.state, "execute-policy")) {
		result = err_set(
			err, ERR_CONFLICT, "output.no_run", "no run of this project is done");
	} else {
		state_forget(&project.state, "retrieve-output");
		state_forget(&project.state, "decrypt-output");
		result = project_run(&project, "retrieve-output", NULL, err);
	}
	if (result == 0)
		ui_result(cli->ui, json_deep_copy(state_outputs(&project.state, "decrypt-output")),
			"%s", json_text(state_outputs(&project.state, "decrypt-output"), "path"));
	project_close(&project);
	return result;
}

/* --- fetch: of a run that we released the output's key to --- */

struct fetching {
	struct session *session;
	const struct cli *cli;
	struct released released;
	json_t *run, *policy; /* the policy's document, by its hash the one that was released to */
	json_t *secret;
};

static int read_run(struct fetching *fetching, const char *id, struct err *err)
{
	auto_free char *path = mem_printf("/v1/runs/%s", id);
	const struct api_call call = {
		.label = "show-run", .audience = "orchestrator", .method = "GET", .path = path
	};

	if (api_call(fetching->session->api, &call, &fetching->run, NULL, err) < 0)
		return -1;
	if (json_text_is(fetching->run, "state", "succeeded"))
		return 0;
	return err_set(err, ERR_CONFLICT, "output.no_run", "run %s is %s", id,
		json_text(fetching->run, "state"));
}

static int read_policy(struct fetching *fetching, struct err *err)
{
	auto_free char *path = mem_printf("/v1/policies/%s", fetching->released.policy_id);
	const struct api_call call = {
		.label = "show-policy", .audience = "policy", .method = "GET", .path = path
	};
	auto_json json_t *record = NULL;
	char hash[DIGEST_TEXT_SIZE];

	if (api_call(fetching->session->api, &call, &record, NULL, err) < 0)
		return -1;
	fetching->policy = json_incref(json_object_get(record, "document"));
	if (!fetching->policy || jcs_digest(fetching->policy, hash, err) < 0)
		return -1;
	if (strcmp(hash, fetching->released.policy_hash) == 0)
		return 0;
	return err_set(err, ERR_UPSTREAM, "policy.other_hash",
		"the server's policy is %s, the key was released for %s", hash,
		fetching->released.policy_hash);
}

static int find_secret(struct fetching *fetching, struct err *err)
{
	auto_json json_t *openings = NULL;
	const json_t *secret;

	if (offer_openings(fetching->session->profile.storage, fetching->policy, &openings, err) <
		0)
		return -1;
	secret = json_object_get(json_object_get(openings, "output"), "secret");
	if (!secret)
		return err_set(err, ERR_NOT_FOUND, "release.no_secret",
			"no file of keys/ holds the secret that the policy commits to for "
			"'output'");
	fetching->secret = json_incref((json_t *)secret);
	return 0;
}

static int open_output(const struct fetching *fetching, struct err *err)
{
	const struct released *released = &fetching->released;
	const json_t *made = json_object_get(fetching->run, "output");
	const char *dest =
		cli_value(fetching->cli, "dest") ? cli_value(fetching->cli, "dest") : "output";
	auto_free char *path = mem_printf(ARTEFACTS "/%s.enc", released->run);
	const struct download wanted = { json_text(made, "object"), json_text(made, "digest"),
		json_integer_value(json_object_get(made, "size")) };
	const struct output output = { .path = path,
		.policy_hash = released->policy_hash,
		.run_nonce = released->run_nonce,
		.name = json_text(json_object_get(fetching->policy, "output"), "name"),
		.run = released->run,
		.sandbox = released->sandbox,
		.machine = released->machine };

	if (!wanted.object || !wanted.digest || !output.name)
		return err_set(err, ERR_UPSTREAM, "receipt.missing", "run %s has no output",
			released->run);
	if (files_make_dirs(ARTEFACTS, 0755, err) < 0 ||
		download_object(fetching->session->api, fetching->cli->ui, &wanted, path, err) <
			0 ||
		output_check(fetching->session->api, &output,
			json_object_get(fetching->run, "receipt"), err) < 0 ||
		output_open(&output, fetching->secret, dest, err) < 0)
		return -1;
	ui_result(fetching->cli->ui,
		json_pack("{s:s,s:s,s:s}", "run", released->run, "policy", released->policy_hash,
			"path", dest),
		"%s", dest);
	return 0;
}

static int fetch(struct session *session, const struct cli *cli, struct err *err)
{
	struct fetching fetching = { .session = session, .cli = cli };
	const char *id = cli->arguments[1];
	auto_json json_t *file = NULL;
	int result = -1;

	if (!id_is(id, "run"))
		return err_set(err, ERR_INVALID, "usage.arguments", "which run? (run_…)");
	if (released_read(id, &file, &fetching.released, err) == 0 &&
		read_run(&fetching, id, err) == 0 && read_policy(&fetching, err) == 0 &&
		find_secret(&fetching, err) == 0)
		result = open_output(&fetching, err);
	json_decref(fetching.run);
	json_decref(fetching.policy);
	json_decref(fetching.secret);
	return result;
}

static const struct verb verbs[] = {
	{ "fetch", fetch, 1, "RUN [--dest DIR]" },
	{ NULL, NULL, 0, NULL },
};

static int output(const struct cli *cli, struct err *err)
{
	return strcmp(cli->arguments[0], "get") == 0 ? get_again(cli, err)
						     : session_verb(cli, "output", verbs, err);
}

const struct command command_output = { "output", "get [--plan FILE] | fetch RUN [--dest DIR]",
	"fetch, verify and decrypt an output: the project's again, or of a run that got our key",
	options, 1, 2, output };
