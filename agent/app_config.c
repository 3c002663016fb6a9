/* SPDX-License-Identifier: Apache-2.0 */
/* The image is an adversary's, so files go into it as its layers do (rootfs.h). Secrets are wiped
 * where they were put together; the app's own copy is the app's. */
#include "agent/app_config.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/rootfs.h"
#include "agent/rootfs_path.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/app_config.h"

#define NO_QUERY "bWFuYWdlZD0x" /* managed=1: the agent has the real one */

static const json_t *app_of(const struct trust_policy *policy)
{
	const json_t *app = json_object_get(policy->doc, "app");

	return json_is_object(app) ? app : NULL;
}

bool app_config_wanted(const struct trust_policy *policy)
{
	return app_of(policy) || trust_has_location(json_object_get(policy->doc, "inputs")) ||
	       trust_has_location(json_object_get(policy->doc, "outputs"));
}

/* --- datasets --- */

static bool is_managed(const struct job *job)
{
	return json_text_is(json_object_get(job->policy.doc, "egress"), "mode", "managed");
}

static char *location_of(const struct job *job, const json_t *entry)
{
	if (is_managed(job))
		return mem_printf("http://127.0.0.1:%d/%s/%s", APP_CONFIG_EGRESS_PORT,
			json_text(entry, "port"), json_text(entry, "name"));
	return mem_strdup(json_text(json_object_get(entry, "location"), "url"));
}

static int write_credentials(const struct job *job, struct rootfs *root, const json_t *entry,
	const char *path, struct err *err)
{
	const json_t *secret = json_object_get(job->secrets.credentials, json_text(entry, "slot"));
	bool is_hidden = is_managed(job) && json_text(secret, "query_string");
	json_t *shown = is_hidden ? json_pack("{s:s,s:o?}", "query_string", NO_QUERY, "encryption",
					    json_deep_copy(json_object_get(secret, "encryption")))
				  : json_deep_copy(secret);
	size_t len = 0;
	char *text;
	int rc;

	text = json_encode(shown, &len);
	rc = rootfs_put_file(root, path, text, len, 0600, err);
	mem_wipe_free(text, len);
	machine_wipe_json(shown);
	return rc;
}

static int write_dataset(
	const struct job *job, struct rootfs *root, const json_t *entry, struct err *err)
{
	auto_free char *folder = mem_printf("%s/%s/%s/dataset", APP_CONFIG_RW,
		json_text(entry, "port"), json_text(entry, "name"));
	auto_free char *place = mem_printf("%s/location.txt", folder);
	auto_free char *credentials = mem_printf("%s/credentials.bin", folder);
	auto_free char *location = location_of(job, entry);

	if (rootfs_put_file(root, place, location, strlen(location), 0644, err) < 0)
		return -1;
	return write_credentials(job, root, entry, credentials, err);
}

static int write_datasets(
	const struct job *job, struct rootfs *root, const char *list, struct err *err)
{
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(job->policy.doc, list), i, entry) {
		if (json_object_get(entry, "location") && write_dataset(job, root, entry, err) < 0)
			return -1;
	}
	return 0;
}

/* --- the runtime --- */

static int write_config_file(
	struct rootfs *root, const char *path, const json_t *file, struct err *err)
{
	const char *text = json_text(file, "contents");
	auto_free unsigned char *data = NULL;
	size_t len = 0;

	if (codec_b64_decode(text, strlen(text), &data, &len, err) < 0)
		return -1;
	return rootfs_put_file(root, path, data, len, 0644, err);
}

static void add_connections(const struct job *job, const char *list, json_t *connections)
{
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(job->policy.doc, list), i, entry) {
		auto_free char *location = NULL;
		const char *port = json_text(entry, "port");

		if (!json_object_get(entry, "location"))
			continue;
		location = location_of(job, entry);
		if (!json_object_get(connections, port))
			json_object_set_new(connections, port, json_object());
		json_object_set_new(json_object_get(connections, port), json_text(entry, "name"),
			json_pack("{s:{s:s}}", "dataset", "location", location));
	}
}

/* Credentials lie in their own files. */
static int write_runtime(
	const struct job *job, struct rootfs *root, json_t *runtime, struct err *err)
{
	json_t *connections = json_object();
	auto_json json_t *shown =
		json_pack("{s:O,s:{s:o}}", "config", runtime, "extra", "connections", connections);
	auto_free char *text = NULL;
	size_t len = 0;

	add_connections(job, "inputs", connections);
	add_connections(job, "outputs", connections);
	text = json_encode(shown, &len);
	return rootfs_put_file(root, APP_CONFIG_RW "/app-config.json", text, len, 0644, err);
}

static int write_app(const struct job *job, struct rootfs *root, const json_t *app, struct err *err)
{
	json_t *runtime = json_object_get(app, "runtime"), *file;
	const char *path;

	json_object_foreach (json_object_get(runtime, "app_config"), path, file) {
		if (write_config_file(root, path, file, err) < 0)
			return -1;
	}
	return write_runtime(job, root, runtime, err);
}

static int write_all(const struct job *job, struct rootfs *root, struct err *err)
{
	const json_t *app = app_of(&job->policy);

	if ((app && write_app(job, root, app, err) < 0) ||
		write_datasets(job, root, "inputs", err) < 0)
		return -1;
	return write_datasets(job, root, "outputs", err);
}

/* There also when nothing is in them. */
static int make_ports(const char *dir, struct err *err)
{
	static const char *const inside[] = { &APP_CONFIG_RW "/input/"[1],
		&APP_CONFIG_RW "/output/"[1] };
	auto_fd int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
		const char *name;
		auto_fd int folder = rootfs_path_parent(root, inside[i], true, &name, err);

		if (folder < 0)
			return -1;
	}
	return 0;
}

int app_config_write(const struct job *job, struct err *err)
{
	const struct rootfs_conf conf = {
		.dir = job->rootfs_dir, .own = geteuid() == 0, .uid_base = JAIL_UID_BASE
	};
	struct rootfs *root;
	int rc;

	if (!app_config_wanted(&job->policy))
		return 0;
	if (make_ports(job->rootfs_dir, err) < 0 || rootfs_new(&conf, &root, err) < 0)
		return -1;
	rc = write_all(job, root, err);
	rootfs_free(root);
	return rc;
}

/* --- env --- */

bool app_config_is_env(const char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; *env; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return true;
	}
	return false;
}

static size_t add_app_env(const struct job *job, const json_t *app, const char **env)
{
	const json_t *edge = json_object_get(job->boot->initdata, "edge");

	env[0] = arena_printf(job->arena, "NODE_AGENT=127.0.0.1:%d", APP_CONFIG_NODE_PORT);
	env[1] = arena_printf(job->arena, "APPCONFIG_ID=%s", json_text(app, "app_config_id"));
	env[2] = arena_printf(job->arena, "CCM_BACKEND=%s:%lld", json_text(edge, "host"),
		(long long)json_integer_value(json_object_get(edge, "port")));
	return 3;
}

const char *const *app_config_env(const struct job *job)
{
	static const char *const proxies[] = { "HTTPS_PROXY", "https_proxy" };
	const char **env = arena_alloc(job->arena, (APP_CONFIG_ENV + 1) * sizeof(*env));
	const json_t *app = app_of(&job->policy);
	size_t n = app ? add_app_env(job, app, env) : 0;

	if (!json_text_is(json_object_get(job->policy.doc, "egress"), "mode", "direct"))
		return env;
	for (size_t i = 0; i < ARRAY_LEN(proxies); i++)
		env[n++] = arena_printf(
			job->arena, "%s=http://127.0.0.1:%d", proxies[i], APP_CONFIG_PROXY_PORT);
	return env;
}
