/* SPDX-License-Identifier: Apache-2.0 */
/* A registry client for one repository: token, manifest, layers, all by digest. */
#include "agent/pull.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/download.h"
#include "agent/rootfs.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/oci.h"
#include "lib/ocicrypt.h"

#define MAX_IMAGE_BYTES (16LL << 30) /* the work folder's size is the real bound */
#define MAX_IMAGE_FILES 1000000
#define ACCEPT "Accept: " OCI_TYPE_MANIFEST ", " OCI_TYPE_DOCKER_MANIFEST

struct registry {
	struct api *api;
	const char *repository;
	char *authorization; /* "Authorization: Bearer …" or NULL */
};

/* --- token --- */

static void forget_token(struct registry *registry)
{
	if (registry->authorization)
		mem_wipe_free(registry->authorization, strlen(registry->authorization));
	registry->authorization = NULL;
}

static int request_token(struct registry *registry, const char *form, struct err *err)
{
	auto_free char *url = edge_url(registry->api->edge, "/v1/registry-token");
	struct fetch_request req = { .method = "POST",
		.url = url,
		.headers = api_form_headers,
		.body = form,
		.body_len = strlen(form) };
	json_t *answer = NULL;
	int rc = fetch_json(edge_fetch(registry->api->edge), &req, NULL, &answer, NULL, err);

	if (rc == 0 && !json_text(answer, "token"))
		rc = err_set(err, ERR_UPSTREAM, "upstream.protocol", "no registry token came back");
	if (rc == 0)
		registry->authorization =
			mem_printf("Authorization: Bearer %s", json_text(answer, "token"));
	machine_wipe_json(answer);
	return rc;
}

static int need_token(struct registry *registry, struct err *err)
{
	auto_free char *members = NULL;
	char *form;
	int rc;

	if (registry->authorization)
		return 0;
	members = mem_printf("service=registry-gw&scope=repository:%s:pull", registry->repository);
	if (api_assertion_form(registry->api, members, &form, err) < 0)
		return -1;
	rc = request_token(registry, form, err);
	mem_wipe_free(form, strlen(form));
	return rc;
}

/* --- requests --- */

/* Refusals of a registry are not ours in form: the status decides. */
static int refused(struct registry *registry, const struct fetch_response *res, struct err *err)
{
	enum err_kind kind = ERR_UPSTREAM;

	if (res->status == 401) {
		forget_token(registry);
		kind = ERR_UNAUTHENTICATED;
	} else if (res->status == 429) {
		kind = ERR_LIMITED;
	} else if (res->status < 500) {
		kind = ERR_NOT_FOUND;
	}
	return err_set(err, kind, "image.unavailable", "the registry answered %ld", res->status);
}

/* Signed and sent; an answer >= 400 is an error. */
static int ask(struct registry *registry, const struct fetch_request *req,
	struct fetch_response *ret_res, struct err *err)
{
	struct fetch_request sent = *req;
	auto_free char *url = edge_url(registry->api->edge, req->url);
	const char *headers[4] = { 0 };
	auto_response res = { 0 };
	size_t n = 0;

	if (need_token(registry, err) < 0)
		return -1;
	headers[n++] = registry->authorization;
	for (size_t i = 0; req->headers && req->headers[i] && n < 3; i++)
		headers[n++] = req->headers[i];
	sent.url = url;
	sent.headers = headers;
	if (fetch_do(edge_fetch(registry->api->edge), &sent, &res, err) < 0)
		return -1;
	if (res.status >= 300)
		return refused(registry, &res, err);
	*ret_res = res;
	res = (struct fetch_response) { 0 };
	return 0;
}

static int get_blob(void *arg, const struct fetch_request *req, long *ret_status, struct err *err)
{
	auto_response res = { 0 };

	if (ask(arg, req, &res, err) < 0)
		return -1;
	*ret_status = res.status;
	return 0;
}

/* --- manifest --- */

static int fetch_manifest(struct registry *registry, const char *digest,
	struct fetch_response *ret_res, struct err *err)
{
	static const char *const headers[] = { ACCEPT, NULL };
	auto_free char *path = mem_printf("/v2/%s/manifests/%s", registry->repository, digest);
	const struct fetch_request req = {
		.method = "GET", .url = path, .headers = headers, .max_response = OCI_MAX_DOCUMENT
	};
	struct edge_patience patience = edge_patience_new();
	struct err failure = { 0 };

	while (ask(registry, &req, ret_res, &failure) < 0) {
		if (!edge_wait(&patience, &failure)) {
			*err = failure;
			return -1;
		}
	}
	return 0;
}

int pull_check_manifest(
	const struct trust_policy *policy, const struct oci_manifest *manifest, struct err *err)
{
	const json_t *layers = json_object_get(json_object_get(policy->doc, "image"), "layers");

	if (strcmp(manifest->config.digest, policy->config_digest) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "image.config",
			"the image's config is not the one that the policy names");
	if (manifest->n_layers != json_array_size(layers))
		return err_set(err, ERR_UNPROCESSABLE, "image.layers",
			"the image has %u layers, the policy %zu", manifest->n_layers,
			json_array_size(layers));
	return 0;
}

static int read_manifest(struct registry *registry, const struct trust_policy *policy,
	struct oci_manifest *ret_manifest, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];
	auto_response res = { 0 };

	if (fetch_manifest(registry, policy->manifest_digest, &res, err) < 0)
		return -1;
	digest_text(res.body.data, res.body.len, digest);
	if (strcmp(digest, policy->manifest_digest) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "image.manifest",
			"the manifest is not the one that the policy names");
	return oci_manifest_parse(res.body.data, res.body.len, ret_manifest, err);
}

/* --- layers --- */

struct cipher {
	struct ocicrypt_layer *layer;
	int fd;
};

static int take_cipher(void *arg, const void *data, size_t len, struct err *err)
{
	const struct cipher *cipher = arg;

	if (ocicrypt_add(cipher->layer, data, len, err) < 0)
		return -1;
	return job_write(cipher->fd, data, len, err);
}

static int fetch_layer(struct registry *registry, const struct oci_blob *blob,
	struct cipher *cipher, struct err *err)
{
	auto_free char *path = mem_printf("/v2/%s/blobs/%s", registry->repository, blob->digest);
	const struct download download = { .get = get_blob,
		.get_arg = registry,
		.path = path,
		.digest = blob->digest,
		.size = blob->size,
		.code = "image.digest",
		.sink = take_cipher,
		.sink_arg = cipher };

	return download_run(&download, err);
}

/* The key of the compressed layer that the policy pins. */
static int open_layer(const struct job *job, const struct oci_layer *layer, const json_t *expected,
	struct ocicrypt_layer **ret_opened, struct err *err)
{
	auto_ocicrypt_keys keys = { .n = 0 };
	struct ocicrypt_layer *opened = NULL;

	if (ocicrypt_keys_add_jwk(&keys, job->secrets.image, err) < 0 ||
		ocicrypt_open(layer->descriptor, &keys, &opened, err) < 0)
		return -1;
	if (strcmp(ocicrypt_inner_digest(opened), json_text(expected, "inner")) != 0) {
		ocicrypt_layer_free(opened);
		return err_set(err, ERR_UNPROCESSABLE, "image.inner_digest",
			"a layer is not the one that the policy names");
	}
	*ret_opened = opened;
	return 0;
}

/* The ciphertext's memory is free again at the end. */
static int decrypt_layer(struct job *job, struct registry *registry, const struct oci_blob *blob,
	struct ocicrypt_layer *opened, int plain_fd, struct err *err)
{
	auto_fd int cipher_fd = -1;

	if (job_temporary(job, &cipher_fd, err) < 0 ||
		fetch_layer(registry, blob, &(struct cipher) { opened, cipher_fd }, err) < 0)
		return -1;
	return ocicrypt_decrypt(opened, cipher_fd, plain_fd, NULL, err);
}

/* What failed inside a layer names its paths, and refusals are read by the operator: the code says
 * enough. */
static int withhold(struct err *err)
{
	char code[sizeof(err->code)];

	memcpy(code, err->code, sizeof(code));
	return err_set(err, err->kind, code, "a layer of the image cannot be unpacked");
}

static int unpack_layer(
	struct rootfs *rootfs, const json_t *expected, int plain_fd, struct err *err)
{
	char diff_id[DIGEST_TEXT_SIZE];

	if (lseek(plain_fd, 0, SEEK_SET) < 0)
		return err_errno(err, "rewind a layer");
	if (rootfs_layer(rootfs, plain_fd, diff_id, err) < 0)
		return withhold(err);
	if (strcmp(diff_id, json_text(expected, "diff_id")) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "image.diff_id",
			"a layer unpacks to other content than the policy names");
	return 0;
}

static int pull_layer(struct job *job, struct registry *registry, struct rootfs *rootfs,
	const struct oci_layer *layer, const json_t *expected, struct err *err)
{
	struct ocicrypt_layer *opened = NULL;
	auto_fd int plain_fd = -1;
	int rc;

	if (job_temporary(job, &plain_fd, err) < 0 ||
		open_layer(job, layer, expected, &opened, err) < 0)
		return -1;
	rc = decrypt_layer(job, registry, &layer->blob, opened, plain_fd, err);
	ocicrypt_layer_free(opened);
	return rc < 0 ? -1 : unpack_layer(rootfs, expected, plain_fd, err);
}

static int pull_layers(
	struct job *job, struct registry *registry, struct rootfs *rootfs, struct err *err)
{
	const json_t *layers = json_object_get(json_object_get(job->policy.doc, "image"), "layers");
	auto_free struct oci_manifest *manifest = mem_alloc(sizeof(*manifest));
	int rc;

	if (read_manifest(registry, &job->policy, manifest, err) < 0)
		return -1;
	rc = pull_check_manifest(&job->policy, manifest, err);
	for (unsigned i = 0; rc == 0 && i < manifest->n_layers; i++)
		rc = pull_layer(job, registry, rootfs, &manifest->layers[i],
			json_array_get(layers, i), err);
	oci_manifest_release(manifest);
	return rc;
}

int pull_image(struct job *job, struct err *err)
{
	const struct rootfs_conf conf = { .dir = job->rootfs_dir,
		.own = geteuid() == 0,
		.uid_base = JAIL_UID_BASE,
		.max_bytes = MAX_IMAGE_BYTES,
		.max_files = MAX_IMAGE_FILES };
	struct registry registry = { .api = job->api, .repository = job->policy.repository };
	struct rootfs *rootfs = NULL;
	int rc;

	if (rootfs_new(&conf, &rootfs, err) < 0)
		return -1;
	rc = pull_layers(job, &registry, rootfs, err);
	forget_token(&registry);
	rootfs_free(rootfs);
	secrets_wipe_image(&job->secrets);
	return rc;
}
