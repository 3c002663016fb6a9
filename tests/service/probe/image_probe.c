/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/image.h and lib/oci_registry.h for test_image.py. One command per process; the answer is
 * one line of JSON, a failure is {"code", "detail"} and exit code 1.
 *   prepare JWK WORK archive PATH | prepare JWK WORK context FOLDER [FILE]
 *   push URL REPOSITORY LAYOUT MANIFEST TAG
 *   put URL REPOSITORY FILE SESSION CHUNK      get URL REPOSITORY DIGEST SIZE FILE
 *   manifest URL REPOSITORY REFERENCE          open LAYOUT PRIVATE_JWK FOLDER
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/image.h"
#include "client/image_place.h"
#include "client/image_remote.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/oci_layout.h"
#include "lib/oci_registry.h"
#include "lib/ocicrypt.h"
#include "tests/support/ocicrypt_file.h"

static json_t *read_json(const char *path, struct err *err)
{
	auto_buf buf = BUF_INIT(OCI_MAX_DOCUMENT);

	if (buf_read_file(&buf, path, err) < 0)
		return NULL;
	return json_parse((const char *)buf.data, buf.len, err);
}

static void print(json_t *answer)
{
	json_dumpf(answer, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(answer);
}

static void on_stage(void *arg, const char *stage, long long done, long long total)
{
	const char **last = arg;

	if (!*last || strcmp(*last, stage) != 0)
		fprintf(stderr, "stage %s\n", stage);
	*last = stage;
	if (total && done > total)
		abort();
}

static int prepare(char **args, struct err *err)
{
	auto_json json_t *jwk = read_json(args[0], err);
	auto_ocicrypt_keys keys = { .n = 0 };
	struct image_conf conf = { .work_dir = args[1], .recipients = &keys, .progress = on_stage };
	struct image_result *result = mem_alloc(sizeof(*result));
	const char *stage = NULL;
	int done;

	conf.progress_arg = &stage;
	if (strcmp(args[2], "archive") == 0)
		conf.archive = args[3];
	else
		conf.context = args[3];
	conf.containerfile = args[4];
	done = jwk ? ocicrypt_keys_add_jwk(&keys, jwk, err) : -1;
	if (done == 0)
		done = image_prepare(&conf, result, err);
	if (done == 0) {
		print(json_pack("{s:s,s:s,s:s,s:I,s:i,s:s,s:s,s:O,s:O,s:s}", "layout",
			result->layout, "manifest", result->manifest, "config", result->config,
			"size", (json_int_t)result->size, "n_layers", (int)result->n_layers,
			"inner", result->layers[0].inner, "diff_id", result->layers[0].diff_id,
			"argv", result->argv, "env", result->env, "cwd", result->cwd));
		image_result_release(result);
	}
	free(result);
	return done;
}

static int push(char **args, struct err *err)
{
	const char *stage = NULL;
	auto_free char *session = mem_printf("%s.upload", args[2]);
	const struct image_remote_conf conf = {
		.base_url = args[0],
		.repository = args[1],
		.actions = "pull,push",
		.session_file = session,
		.progress = on_stage,
		.progress_arg = &stage,
	};
	struct image_remote *remote = NULL;
	auto_json json_t *descriptor = NULL;
	int done;

	if (image_place_choose(args[2], args[3], &descriptor, err) < 0 ||
		image_remote_new(&conf, &remote, err) < 0)
		return -1;
	done = image_remote_push(
		remote, args[2], descriptor, args[4] ? args[4] : "latest", false, err);
	image_remote_free(remote);
	if (done == 0)
		print(json_object());
	return done;
}

static int open_registry(struct fetch **ret_fetch, char **args, const char *session,
	long long chunk, struct oci_registry **ret_registry, struct err *err)
{
	struct oci_registry_conf conf = {
		.fetch = *ret_fetch = fetch_new(&(struct fetch_conf) { .user_agent = "probe" }),
		.base_url = args[0],
		.repository = args[1],
		.actions = "pull,push",
		.session_file = session,
		.chunk_bytes = chunk,
		.attempts = 3,
	};

	return oci_registry_new(&conf, ret_registry, err);
}

static int put(char **args, struct err *err)
{
	struct oci_blob blob = { .type = "application/octet-stream" };
	struct oci_registry *registry = NULL;
	struct fetch *fetch = NULL;
	auto_fd int fd = open(args[2], O_RDONLY | O_CLOEXEC);
	bool has = false;
	int done = digest_file(args[2], blob.digest, &blob.size, err);

	if (done == 0)
		done = open_registry(
			&fetch, args, args[3], strtoll(args[4], NULL, 10), &registry, err);
	if (done == 0)
		done = oci_registry_has_blob(registry, &blob, &has, err);
	if (done == 0 && !has)
		done = oci_registry_put_blob(registry, &blob, fd, err);
	if (done == 0)
		print(json_pack("{s:s,s:I,s:b}", "digest", blob.digest, "size",
			(json_int_t)blob.size, "had", has));
	oci_registry_free(registry);
	fetch_free(fetch);
	return done;
}

static int get(char **args, struct err *err)
{
	struct oci_blob blob = { .size = strtoll(args[3], NULL, 10) };
	struct oci_registry *registry = NULL;
	struct fetch *fetch = NULL;
	auto_fd int fd = open(args[4], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int done;

	snprintf(blob.digest, sizeof(blob.digest), "%s", args[2]);
	done = open_registry(&fetch, args, NULL, 0, &registry, err);
	if (done == 0)
		done = oci_registry_get_blob(registry, &blob, fd, err);
	if (done == 0)
		print(json_object());
	oci_registry_free(registry);
	fetch_free(fetch);
	return done;
}

static int manifest(char **args, struct err *err)
{
	auto_buf text = BUF_INIT(OCI_MAX_DOCUMENT);
	struct oci_registry *registry = NULL;
	struct fetch *fetch = NULL;
	int done = open_registry(&fetch, args, NULL, 0, &registry, err);

	if (done == 0)
		done = oci_registry_get_manifest(registry, args[2], &text, err);
	if (done == 0)
		print(json_parse((const char *)text.data, text.len, err));
	oci_registry_free(registry);
	fetch_free(fetch);
	return done;
}

static int open_layer(const char *dir, const struct oci_layer *layer,
	const struct ocicrypt_keys *keys, const char *path, struct err *err)
{
	auto_fd int in = -1, out = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct ocicrypt_layer *opened = NULL;
	int done;

	if (oci_layout_open(dir, &layer->blob, &in, err) < 0 ||
		ocicrypt_open(layer->descriptor, keys, &opened, err) < 0)
		return -1;
	done = ocicrypt_file_add(opened, in, err);
	if (done == 0)
		done = ocicrypt_decrypt(opened, in, out, NULL, err);
	ocicrypt_layer_free(opened);
	return done;
}

/* As the agent does it: manifest, config, every layer. */
static int open_image(char **args, struct err *err)
{
	auto_buf text = BUF_INIT(OCI_MAX_DOCUMENT), config_text = BUF_INIT(OCI_MAX_DOCUMENT);
	auto_oci_manifest image = { .json = NULL };
	auto_oci_config config = { .json = NULL };
	auto_json json_t *jwk = read_json(args[1], err), *diff_ids = json_array();
	auto_ocicrypt_keys keys = { .n = 0 };
	struct oci_blob blob;

	if (!jwk || ocicrypt_keys_add_jwk(&keys, jwk, err) < 0 ||
		oci_layout_find(args[0], NULL, &blob, err) < 0 ||
		oci_layout_read(args[0], &blob, &text, err) < 0 ||
		oci_manifest_parse(text.data, text.len, &image, err) < 0 ||
		oci_layout_read(args[0], &image.config, &config_text, err) < 0 ||
		oci_config_parse(config_text.data, config_text.len, image.n_layers, &config, err) <
			0)
		return -1;
	for (unsigned i = 0; i < image.n_layers; i++) {
		auto_free char *path = mem_printf("%s/%u", args[2], i);

		if (open_layer(args[0], &image.layers[i], &keys, path, err) < 0)
			return -1;
		json_array_append_new(diff_ids, json_string(config.diff_ids[i]));
	}
	print(json_pack("{s:s,s:O}", "manifest", blob.digest, "diff_ids", diff_ids));
	return 0;
}

static const struct {
	const char *name;
	int n_args;
	int (*run)(char **args, struct err *err);
} commands[] = {
	{ "prepare", 4, prepare },
	{ "push", 5, push },
	{ "put", 5, put },
	{ "get", 5, get },
	{ "manifest", 3, manifest },
	{ "open", 3, open_image },
};

int main(int argc, char **argv)
{
	struct err err = { .kind = ERR_NONE };

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (argc < 2 || strcmp(argv[1], commands[i].name) != 0 ||
			argc < commands[i].n_args + 2)
			continue;
		if (commands[i].run(argv + 2, &err) == 0)
			return 0;
		print(json_pack(
			"{s:s,s:s%}", "code", err.code, "detail", err.detail, strlen(err.detail)));
		return 1;
	}
	fprintf(stderr, "image_probe: unknown command\n");
	return 2;
}
