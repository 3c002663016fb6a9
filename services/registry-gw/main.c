/* SPDX-License-Identifier: Apache-2.0 */
/* The registry gateway: the OCI distribution protocol in front of a Docker Registry, for encrypted
 * images. */
#include "lib/service.h"
#include "services/registry-gw/access.h"
#include "services/registry-gw/archive.h"
#include "services/registry-gw/blobs.h"
#include "services/registry-gw/cache.h"
#include "services/registry-gw/collect.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/images.h"
#include "services/registry-gw/manifests.h"
#include "services/registry-gw/migrations.h"
#include "services/registry-gw/oci_error.h"
#include "services/registry-gw/referrers.h"
#include "services/registry-gw/relay_archive.h"
#include "services/registry-gw/relay_blob.h"
#include "services/registry-gw/relay_upload.h"
#include "services/registry-gw/replace.h"
#include "services/registry-gw/rewrap.h"
#include "services/registry-gw/rules.h"
#include "services/registry-gw/store.h"
#include "services/registry-gw/store_image.h"
#include "services/registry-gw/tags.h"
#include "services/registry-gw/uploads.h"
#include "services/registry-gw/version.h"

#define ROW(key, type, member, fallback, help)                                                     \
	{                                                                                          \
		key, type, offsetof(struct registry_conf, member), fallback, help                  \
	}

#define RULE_MAX_BYTES (512 * 1024) /* 16 certificates */

static const struct conf_item config[] = {
	ROW("registry_socket", CONF_TEXT, socket, NULL,
		"unix socket of the Docker Registry behind"),
	ROW("registry_storage", CONF_TEXT, storage, "",
		"its root directory, to resume uploads after a crash"),
	ROW("registry_secret_file", CONF_TEXT, secret_file, "",
		"file with its http.secret, for the same"),
	ROW("instance", CONF_TEXT, instance, "registry-gw",
		"name of this copy, unique, the same after a restart"),
	ROW("quota_bytes", CONF_SIZE, limits.bytes, "1024g",
		"what a tenant may keep, unless the operator gave it a limit of its own"),
	ROW("quota_images", CONF_COUNT, limits.images, "10000", "the same, of manifests"),
	ROW("quota_uploads", CONF_COUNT, limits.uploads, "512", "the same, of open uploads"),
	ROW("collect_grace", CONF_MS, grace_ms, "24h",
		"how long a blob that no manifest names is kept"),
	ROW("collect_beat", CONF_MS, collect_beat_ms, "10m", "how often those are looked for"),
	ROW("manifest_cache", CONF_SIZE, cache_bytes, "64m", "memory for manifests' bytes"),
	{ NULL, CONF_TEXT, 0, NULL, NULL },
};

static const struct lane_conf lanes[] = {
	{ "db", 0, 256, 0 },
	{ "registry", 8, 256, 0 },			 /* asks the registry behind */
	{ "archives", 4, 16, ARCHIVES_OF_A_TENANT + 1 }, /* unpacks one as it comes; refuses one */
	{ NULL, 0, 0, 0 },
};

#define ROUTE(method, path, lane, max, handler)                                                    \
	{                                                                                          \
		method, path, WEB_REGISTRY, NULL, lane, max, false, .handle = (handler)            \
	}
#define LOOK(method, path, lane, handler, row)                                                     \
	{                                                                                          \
		method, path, WEB_REGISTRY, NULL, lane, 0, false, .handle = (handler),             \
								  .read = &(row)                   \
	}
#define MEMBER(method, path, scope, max, handler)                                                  \
	{                                                                                          \
		method, path, WEB_MEMBER, scope, "db", max, (max) > 0, .handle = (handler)         \
	}
#define READ_ONE(path, row)                                                                        \
	{                                                                                          \
		.method = "GET", path, WEB_MEMBER, "read", "db", .read = &(row)                    \
	}
#define STREAM(method, path, lane, ops)                                                            \
	{                                                                                          \
		method, path, WEB_REGISTRY, NULL, lane, 0, false, .stream = (ops)                  \
	}

static const struct web_route routes[] = {
	ROUTE("GET", "/v2", "db", 0, version_show),
	ROUTE("GET", "/v2/", "db", 0, version_show),
	ROUTE("GET", "/v2/{name...}/tags/list", "db", 0, tag_list),
	LOOK("GET", "/v2/{name...}/manifests/{reference}", "registry", manifest_show,
		manifest_read),
	ROUTE("PUT", "/v2/{name...}/manifests/{reference}", "registry", MANIFEST_MAX_BYTES,
		manifest_put),
	ROUTE("DELETE", "/v2/{name...}/manifests/{reference}", "db", 0, manifest_delete),
	ROUTE("GET", "/v2/{name...}/referrers/{digest}", "db", 0, referrer_list),
	LOOK("HEAD", "/v2/{name...}/blobs/{digest}", "db", blob_head, blob_read),
	ROUTE("DELETE", "/v2/{name...}/blobs/{digest}", "db", 0, blob_delete),
	STREAM("GET", "/v2/{name...}/blobs/{digest}", "db", &relay_blob),
	STREAM("POST", "/v2/{name...}/blobs/uploads", "registry", &relay_upload_post),
	STREAM("POST", "/v2/{name...}/blobs/uploads/", "registry", &relay_upload_post),
	ROUTE("GET", "/v2/{name...}/blobs/uploads/{upload_id}", "registry", 0, upload_show),
	STREAM("PATCH", "/v2/{name...}/blobs/uploads/{upload_id}", "registry", &relay_upload_patch),
	STREAM("PUT", "/v2/{name...}/blobs/uploads/{upload_id}", "registry", &relay_upload_put),
	ROUTE("DELETE", "/v2/{name...}/blobs/uploads/{upload_id}", "registry", 0, upload_cancel),
	MEMBER("GET", "/v1/images", "read", 0, image_list),
	READ_ONE("/v1/images/{image_id}", store_image_read),
	MEMBER("DELETE", "/v1/images/{image_id}", "write", 0, image_delete),
	{ "POST", "/v1/images/{image_id}:rewrap", WEB_MEMBER, "write", "registry", REWRAP_MAX_BYTES,
		true, .handle = (image_rewrap) },
	{ "POST", "/v1/images/{image_id}:replace", WEB_MEMBER, "write", "registry",
		REPLACE_MAX_BYTES, true, .handle = (image_replace) },
	MEMBER("GET", "/v1/registry/rule", "read", 0, rule_show),
	MEMBER("PUT", "/v1/registry/rule", "write", RULE_MAX_BYTES, rule_put),
	ROUTE("GET", "/v2/{rest...}", "db", 0, version_none),
	STREAM("POST", "/v1/registry/archives", "archives", &relay_archive),
	MEMBER("GET", "/v1/registry/quota", "read", 0, quota_self),
	MEMBER("GET", "/v1/registry/quotas/{tenant_id}", "read", 0, quota_show),
	MEMBER("PUT", "/v1/registry/quotas/{tenant_id}", "write", 4096, quota_replace),
	{ .method = NULL },
};

static const struct service_loop loops[] = {
	{ "uploads", NULL, 10000, writers_beat, false },
	{ "reserve", WRITERS_TOPIC, 1000, writers_reserve, false },
	{ "collect", NULL, 60000, collect_beat, false },
	{ "uses", NULL, 5000, uses_beat, false },
	{ NULL, NULL, 0, NULL, false },
};

static int init(struct worker *worker, struct err *err)
{
	struct registry_conf *conf = worker->program;

	uses_init(&conf->uses);
	conf->cache = cache_new((size_t)conf->cache_bytes);
	return writers_init(worker, err);
}

static void deinit(void *program)
{
	struct registry_conf *conf = program;

	cache_free(conf->cache);
}

static const struct service registry_gw = {
	.name = "registry-gw",
	.config = config,
	.config_size = sizeof(struct registry_conf),
	.lanes = lanes,
	.routes = routes,
	.loops = loops,
	.migrations = migrations,
	.forgets = store_forgets,
	.init = init,
	.deinit = deinit,
	.admit = access_admit,
	.problem = oci_error_body,
};

int main(int argc, char **argv)
{
	return service_main(&registry_gw, argc, argv);
}
