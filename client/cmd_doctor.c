/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom doctor: is everything there that a run needs? One line per check, with the way out. */
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "client/session.h"
#include "lib/json.h"
#include "lib/mem.h"

#define SPACE_WANTED (1LL << 30)

static bool report(const struct cli *cli, const char *check, bool is_good, const char *detail)
{
	ui_result(cli->ui,
		json_pack("{s:s,s:b,s:s}", "check", check, "ok", is_good, "detail", detail),
		"%-14s %-4s %s", check, is_good ? "ok" : "BAD", detail);
	return is_good;
}

static bool check_service(
	struct session *session, const struct cli *cli, const char *audience, const char *path)
{
	struct api_call call = {
		.label = "doctor", .audience = audience, .method = "GET", .path = path
	};
	auto_json json_t *answer = NULL;
	struct err err = { 0 };
	int result = api_call(session->api, &call, &answer, NULL, &err);

	return report(cli, audience, result == 0, result == 0 ? "answers" : err.detail);
}

static bool is_in_path(const char *program)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t len = strcspn(path, ":");
		auto_free char *file = mem_printf("%.*s/%s", (int)len, path, program);

		if (access(file, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

static bool check_engine(const struct cli *cli)
{
	static const char *const engines[] = { "buildah", "podman", "docker" };

	for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
		if (is_in_path(engines[i]))
			return report(cli, "engine", true, engines[i]);
	}
	report(cli, "engine", true, "none: give an archive to dockerize-algo");
	return true;
}

static bool check_space(const struct cli *cli)
{
	struct statvfs fs;
	auto_free char *text = NULL;
	long long available;

	if (statvfs(".", &fs) < 0)
		return report(cli, "disk", false, "cannot be asked");
	available = (long long)fs.f_bavail * (long long)fs.f_frsize;
	text = mem_printf("%lld MiB free here", available / 1048576);
	return report(cli, "disk", available > SPACE_WANTED, text);
}

static int doctor(const struct cli *cli, struct err *err)
{
	static const char *const services[][2] = { { "certreg", "/v1/tenants/self" },
		{ "provisioner", "/v1/templates" }, { "policy", "/v1/pipelines" },
		{ "orchestrator", "/v1/runs" } };
	struct session session;
	bool is_good = true;

	if (session_open(&session, cli, err) < 0)
		return -1;
	is_good = report(cli, "profile", true, session.profile.dir);
	is_good &= report(cli, "trust", session.profile.trust,
		session.profile.trust ? session.profile.trust_digest
				      : "strongroom configure --trust FILE");
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		is_good &= check_service(&session, cli, services[i][0], services[i][1]);
	is_good &= check_engine(cli);
	is_good &= check_space(cli);
	session_close(&session);
	return is_good ? CLI_OK : CLI_FAILED;
}

const struct command command_doctor = { "doctor", "", "is everything there that a run needs?", NULL,
	0, 0, doctor };
