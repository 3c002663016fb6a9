/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind the "next:" line of a failure. */
#include "client/help.h"

#include <stddef.h>
#include <string.h>

#include "lib/mem.h"

static const struct {
	const char *code;
	const char *help;
} helps[] = {
	{ "profile.missing",
		"strongroom configure --url URL --ca FILE --key-file FILE --trust FILE" },
	{ "profile.exists", "strongroom --profile OTHER configure --invitation FILE" },
	{ "profile.not_confirmed", "strongroom profile remove NAME --yes" },
	{ "peer.unpinned",
		"compare the key with its owner on another way, then: strongroom peer add "
		"NAME --spki DIGEST" },
	{ "auth.invalid_client",
		"strongroom key rotate, when one was cut short; else ask for a new "
		"key" },
	{ "profile.permissions",
		"chmod 700 the folder and 600 the file: nobody else may read them" },
	{ "profile.no_trust", "strongroom configure --trust FILE (from whoever runs the instance, "
			      "on another way)" },
	{ "project.missing", "strongroom setup" },
	{ "state.locked", "wait for the other run, or stop it" },
	{ "state.invalid", "move .pbstate away to start from the beginning" },
	{ "evidence.class_too_low", "accept_evidence: none in set-sandbox-specs of main.yml, if "
				    "the operator may read everything" },
	{ "upstream.unreachable", "strongroom doctor" },
	{ "upstream.tls", "strongroom configure --ca FILE with the CA of this server" },
	{ "client.timeout", "strongroom run goes on waiting" },
	{ "client.not_confirmed", "the same with --yes" },
	{ "image.exists", "choose another name, or remove what is there" },
	{ "image.no_engine",
		"install podman, buildah or docker, or give an archive to dockerize-algo" },
	{ "plan.unknown_reference",
		"register a task under that name before this one, and use one of its fields" },
	{ "run.alive", "strongroom run goes on with it (without --from, and nothing edited); "
		       "strongroom run --cancel-old cancels it first" },
	{ "run.sandbox_busy", "wait for that run's end, or strongroom run cancel RUN" },
	{ "run.failed", "strongroom run makes a new run with a new output key" },
	{ "run.refused", "the sandbox refused what the policy does not allow; nothing was opened" },
	{ "projection.too_few_rows", "a wider row filter, or more data" },
	{ "usage.option", "strongroom help COMMAND" },
	{ "usage.arguments", "strongroom help COMMAND" },
	{ "usage.command", "strongroom help" },
};

const char *help_for(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(helps); i++) {
		if (strcmp(helps[i].code, code) == 0)
			return helps[i].help;
	}
	return NULL;
}
