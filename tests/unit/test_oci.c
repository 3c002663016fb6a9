/* SPDX-License-Identifier: Apache-2.0 */
/* OCI documents and layouts: what is right passes, and each way of being wrong has its code. */
#include "lib/oci.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/files.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/oci_layout.h"
#include "tests/unit/check.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX
#define OTHER "sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LAYER "{\"mediaType\":\"" OCI_TYPE_LAYER_GZIP "\",\"digest\":\"" DIGEST "\",\"size\":7}"
#define CONFIG "{\"mediaType\":\"" OCI_TYPE_CONFIG "\",\"digest\":\"" DIGEST "\",\"size\":9}"
#define MANIFEST(type, config, layers)                                                             \
	"{\"schemaVersion\":2,\"mediaType\":\"" type "\",\"config\":" config                       \
	",\"layers\":[" layers "]}"
#define GOOD MANIFEST(OCI_TYPE_MANIFEST, CONFIG, LAYER)

static char folder[] = "/tmp/test_oci.XXXXXX";

static char *at(const char *name)
{
	return mem_printf("%s/%s", folder, name);
}

/* --- manifests --- */

static void check_good_manifests(void)
{
	static const char docker[] = MANIFEST(OCI_TYPE_DOCKER_MANIFEST,
		"{\"mediaType\":\"application/"
		"vnd.docker.container.image.v1+json\",\"digest\":\"" DIGEST "\",\"size\":9}",
		"{\"mediaType\":\"application/"
		"vnd.docker.image.rootfs.diff.tar.gzip\",\"digest\":\"" DIGEST "\",\"size\":7}");
	static const char mixed[] = MANIFEST(OCI_TYPE_MANIFEST, CONFIG,
		LAYER ",{\"mediaType\":\"" OCI_TYPE_LAYER_GZIP_ENCRYPTED "\",\"digest\":\"" OTHER
		      "\",\"size\":0,\"annotations\":{\"a\":\"b\"}}");
	struct oci_manifest manifest;
	struct err err = { .kind = ERR_NONE };

	CHECK(oci_manifest_parse(GOOD, strlen(GOOD), &manifest, &err) == 0);
	CHECK_NUMBER(manifest.n_layers, 1);
	CHECK_TEXT(manifest.config.digest, DIGEST);
	CHECK_NUMBER(manifest.config.size, 9);
	CHECK(!manifest.layers[0].is_encrypted);
	oci_manifest_release(&manifest);
	CHECK(oci_manifest_parse(docker, strlen(docker), &manifest, &err) == 0);
	oci_manifest_release(&manifest);
	CHECK(oci_manifest_parse(mixed, strlen(mixed), &manifest, &err) == 0);
	CHECK_NUMBER(manifest.n_layers, 2);
	CHECK(manifest.layers[1].is_encrypted);
	CHECK_TEXT(manifest.layers[1].blob.digest, OTHER);
	CHECK(json_object_get(manifest.layers[1].descriptor, "annotations") != NULL);
	oci_manifest_release(&manifest);
}

static void check_bad_manifests(void)
{
#define BAD_LAYER(type, digest, rest)                                                              \
	MANIFEST(OCI_TYPE_MANIFEST, CONFIG,                                                        \
		"{\"mediaType\":\"" type "\",\"digest\":\"" digest "\"" rest "}")
	static const struct {
		const char *text, *code;
	} cases[] = {
		{ "", "json.syntax" },
		{ "[]", "oci.manifest" },
		{ "{}", "oci.manifest" },
		{ "{\"schemaVersion\":2,\"schemaVersion\":2}", "json.duplicate" },
		{ "{\"schemaVersion\":1,\"config\":" CONFIG ",\"layers\":[" LAYER "]}",
			"oci.manifest" },
		{ "{\"schemaVersion\":2,\"mediaType\":7,\"config\":" CONFIG ",\"layers\":[" LAYER
		  "]}",
			"oci.manifest" },
		{ MANIFEST(OCI_TYPE_INDEX, CONFIG, LAYER), "oci.manifest" },
		{ MANIFEST(OCI_TYPE_MANIFEST, "{}", LAYER), "oci.descriptor" },
		{ MANIFEST(OCI_TYPE_MANIFEST, LAYER, LAYER), "oci.manifest" },
		{ MANIFEST(OCI_TYPE_MANIFEST, CONFIG, ""), "oci.manifest" },
		{ MANIFEST(OCI_TYPE_MANIFEST, CONFIG, "7"), "oci.descriptor" },
		{ "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":{}}", "oci.manifest" },
		{ BAD_LAYER("text/plain", DIGEST, ",\"size\":1"), "oci.manifest" },
		{ BAD_LAYER("+encrypted", DIGEST, ",\"size\":1"), "oci.manifest" },
		{ BAD_LAYER(OCI_TYPE_LAYER_GZIP "+encrypted+encrypted", DIGEST, ",\"size\":1"),
			"oci.manifest" },
		{ BAD_LAYER(OCI_TYPE_LAYER_GZIP, "sha256:00", ",\"size\":1"), "oci.descriptor" },
		{ BAD_LAYER(OCI_TYPE_LAYER_GZIP, "sha512:" HEX HEX, ",\"size\":1"),
			"oci.descriptor" },
		{ BAD_LAYER(OCI_TYPE_LAYER_GZIP, "sha256:../../../../../../../../etc/passwd",
			  ",\"size\":1"),
			"oci.descriptor" },
		{ BAD_LAYER(OCI_TYPE_LAYER_GZIP, DIGEST, ""), "oci.descriptor" },
		{ BAD_LAYER(OCI_TYPE_LAYER_GZIP, DIGEST, ",\"size\":-1"), "oci.descriptor" },
		{ BAD_LAYER(OCI_TYPE_LAYER_GZIP, DIGEST, ",\"size\":68719476737"),
			"oci.descriptor" },
		{ BAD_LAYER(OCI_TYPE_LAYER_GZIP, DIGEST, ",\"size\":\"1\""), "oci.descriptor" },
		{ BAD_LAYER(OCI_TYPE_LAYER_GZIP, DIGEST, ",\"size\":1.5"), "json.number" },
		{ BAD_LAYER(OCI_TYPE_LAYER_GZIP, DIGEST, ",\"size\":1,\"urls\":[\"http://x\"]"),
			"oci.descriptor" },
	};
	struct oci_manifest manifest;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CHECK_FAILS(
			oci_manifest_parse(cases[i].text, strlen(cases[i].text), &manifest, &err),
			&err, cases[i].code);
}

/* `n` layers, and white space up to `len` bytes. */
static char *long_manifest(unsigned n, size_t len)
{
	auto_buf buf = BUF_INIT(OCI_MAX_DOCUMENT);
	char *text;
	struct err err;

	CHECK(buf_printf(&buf, &err, "{\"schemaVersion\":2,\"config\":%s,\"layers\":[", CONFIG) ==
		0);
	for (unsigned i = 0; i < n; i++)
		CHECK(buf_printf(&buf, &err, "%s%s", i ? "," : "", LAYER) == 0);
	CHECK(buf_add_text(&buf, "]}", &err) == 0);
	if (len < buf.len)
		len = buf.len;
	text = mem_alloc(len + 1);
	memset(text, ' ', len);
	memcpy(text, buf.data, buf.len);
	return text;
}

static void check_limits(void)
{
	auto_free char *most = long_manifest(OCI_MAX_LAYERS, 0);
	auto_free char *more = long_manifest(OCI_MAX_LAYERS + 1, 0);
	auto_free char *largest = long_manifest(1, OCI_MAX_DOCUMENT);
	auto_free char *larger = long_manifest(1, OCI_MAX_DOCUMENT + 1);
	struct oci_manifest manifest;
	struct err err;

	CHECK(oci_manifest_parse(most, strlen(most), &manifest, &err) == 0);
	CHECK_NUMBER(manifest.n_layers, OCI_MAX_LAYERS);
	oci_manifest_release(&manifest);
	CHECK_FAILS(oci_manifest_parse(more, strlen(more), &manifest, &err), &err, "limit.layers");
	CHECK(oci_manifest_parse(largest, strlen(largest), &manifest, &err) == 0);
	oci_manifest_release(&manifest);
	CHECK_FAILS(
		oci_manifest_parse(larger, strlen(larger), &manifest, &err), &err, "oci.too_large");
}

/* --- configs --- */

static void check_configs(void)
{
#define ROOTFS(ids) "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" ids "]}"
	static const char good[] =
		"{\"architecture\":\"amd64\",\"os\":\"linux\"," ROOTFS("\"" DIGEST "\"") "}";
	static const char *const bad[] = {
		"{\"os\":\"linux\"," ROOTFS("\"" DIGEST "\"") "}",
		"{\"architecture\":\"amd64\",\"os\":\"\"," ROOTFS("\"" DIGEST "\"") "}",
		"{\"architecture\":\"amd64\",\"os\":\"linux\"}",
		"{\"architecture\":\"amd64\",\"os\":\"linux\"," ROOTFS("") "}",
		"{\"architecture\":\"amd64\",\"os\":\"linux\"," ROOTFS("\"x\"") "}",
		"{\"architecture\":\"amd64\",\"os\":\"linux\"," ROOTFS(
			"\"" DIGEST "\",\"" DIGEST "\"") "}",
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"x\",\"diff_"
		"ids\":[\"" DIGEST "\"]}}",
		"7",
	};
	struct oci_config config;
	struct err err = { .kind = ERR_NONE };

	CHECK(oci_config_parse(good, strlen(good), 1, &config, &err) == 0);
	CHECK_TEXT(config.architecture, "amd64");
	CHECK_TEXT(config.diff_ids[0], DIGEST);
	oci_config_release(&config);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(oci_config_parse(bad[i], strlen(bad[i]), 1, &config, &err), &err,
			"oci.config");
	CHECK_FAILS(oci_config_parse(good, strlen(good), OCI_MAX_LAYERS + 1, &config, &err), &err,
		"oci.config");
}

/* --- indexes --- */

#define ENTRY(type, digest, more)                                                                  \
	"{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":5" more "}"
#define PLATFORM(os, architecture)                                                                 \
	",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" architecture "\"}"
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"

static void check_indexes(void)
{
	static const struct {
		const char *text, *digest, *code;
	} cases[] = {
		{ INDEX(ENTRY(OCI_TYPE_MANIFEST, DIGEST, "")), DIGEST, NULL },
		{ INDEX(ENTRY(OCI_TYPE_MANIFEST, DIGEST, "") "," ENTRY(
			  OCI_TYPE_MANIFEST, DIGEST, "")),
			DIGEST, NULL }, /* two names of one image */
		{ INDEX(ENTRY(OCI_TYPE_MANIFEST, OTHER, PLATFORM("linux", "arm64")) "," ENTRY(
			  OCI_TYPE_MANIFEST, DIGEST, PLATFORM("linux", "amd64"))),
			DIGEST, NULL },
		{ INDEX(ENTRY(OCI_TYPE_MANIFEST, DIGEST, PLATFORM("linux", "amd64")) "," ENTRY(
			  OCI_TYPE_MANIFEST, OTHER,
			  ",\"annotations\":{\"vnd.docker.reference.type\":\"attestation-"
			  "manifest\"}")),
			DIGEST, NULL },
		{ INDEX(ENTRY(OCI_TYPE_INDEX, DIGEST, "")), DIGEST, NULL },
		{ INDEX(ENTRY(OCI_TYPE_MANIFEST, DIGEST, "") "," ENTRY(
			  OCI_TYPE_MANIFEST, OTHER, "")),
			NULL, "oci.index" },
		{ INDEX(ENTRY(OCI_TYPE_MANIFEST, DIGEST, PLATFORM("linux", "amd64")) "," ENTRY(
			  OCI_TYPE_MANIFEST, OTHER, PLATFORM("linux", "amd64"))),
			NULL, "oci.ambiguous" },
		{ INDEX(ENTRY("text/plain", DIGEST, "")), NULL, "oci.index" },
		{ INDEX(""), NULL, "oci.index" },
		{ INDEX("{}"), NULL, "oci.descriptor" },
		{ "{}", NULL, "oci.index" },
		{ GOOD, NULL, "oci.index" },
	};
	struct oci_blob blob;
	struct err err = { .kind = ERR_NONE };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].text);

		if (cases[i].code) {
			CHECK_FAILS(oci_index_choose(cases[i].text, len, "amd64", &blob, &err),
				&err, cases[i].code);
			continue;
		}
		CHECK(oci_index_choose(cases[i].text, len, "amd64", &blob, &err) == 0);
		CHECK_TEXT(blob.digest, cases[i].digest);
	}
}

/* --- layouts --- */

static void write_text(const char *dir, const char *name, const char *text)
{
	auto_free char *path = mem_printf("%s/%s", dir, name);
	struct err err;

	CHECK(buf_write_file(path, text, strlen(text), 0600, &err) == 0);
}

static char *new_layout(const char *name)
{
	char *dir = at(name);
	struct err err;

	CHECK(oci_layout_create(dir, &err) == 0);
	return dir;
}

static void check_round_trip(void)
{
	auto_free char *dir = new_layout("round"), *path = NULL;
	auto_buf buf = BUF_INIT(OCI_MAX_DOCUMENT);
	struct oci_blob written, found;
	auto_fd int fd = -1, read_fd = -1;
	struct err err;

	CHECK(oci_layout_add(dir, OCI_TYPE_MANIFEST, GOOD, strlen(GOOD), &written, &err) == 0);
	CHECK(oci_layout_index(dir, &written, "v1", &err) == 0);
	CHECK(oci_layout_find(dir, NULL, &found, &err) == 0);
	CHECK_TEXT(found.digest, written.digest);
	CHECK(oci_layout_read(dir, &found, &buf, &err) == 0);
	CHECK_TEXT((const char *)buf.data, GOOD);
	CHECK(oci_layout_new_blob(dir, &path, &fd, &err) == 0);
	CHECK(write(fd, "large", 5) == 5);
	digest_text("large", 5, found.digest);
	found.size = 5;
	CHECK(oci_layout_open(dir, &found, &read_fd, &err) == -1);
	CHECK(oci_layout_keep_blob(dir, path, fd, found.digest, &err) == 0);
	CHECK(oci_layout_open(dir, &found, &read_fd, &err) == 0);
}

static void check_damage(void)
{
	auto_free char *dir = new_layout("damage"), *name = NULL, *path = NULL;
	auto_buf buf = BUF_INIT(OCI_MAX_DOCUMENT);
	struct oci_blob blob, longer;
	auto_fd int fd = -1;
	struct err err;

	CHECK(oci_layout_add(dir, OCI_TYPE_MANIFEST, GOOD, strlen(GOOD), &blob, &err) == 0);
	longer = blob;
	longer.size++;
	CHECK_FAILS(oci_layout_open(dir, &longer, &fd, &err), &err, "oci.digest");
	name = mem_printf("blobs/sha256/%s", blob.digest + 7);
	path = mem_printf("%s/%s", dir, name);
	write_text(dir, name, MANIFEST(OCI_TYPE_MANIFEST, LAYER, CONFIG)); /* as long */
	CHECK_FAILS(oci_layout_read(dir, &blob, &buf, &err), &err, "oci.digest");
	CHECK(unlink(path) == 0 && symlink("/etc/passwd", path) == 0);
	CHECK_FAILS(oci_layout_open(dir, &blob, &fd, &err), &err, "oci.no_blob");
	CHECK(unlink(path) == 0 && mkfifo(path, 0600) == 0);
	CHECK_FAILS(oci_layout_open(dir, &blob, &fd, &err), &err, "oci.no_blob");
	CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
	CHECK_FAILS(oci_layout_open(dir, &blob, &fd, &err), &err, "oci.no_blob");
}

static void check_no_layout(void)
{
	auto_free char *dir = new_layout("none"), *marker = mem_printf("%s/oci-layout", dir);
	struct oci_blob blob;
	struct err err;

	CHECK_FAILS(oci_layout_find(dir, NULL, &blob, &err), &err, "oci.no_blob"); /* no index */
	write_text(dir, "oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}");
	CHECK_FAILS(oci_layout_find(dir, NULL, &blob, &err), &err, "oci.layout");
	CHECK(unlink(marker) == 0);
	CHECK_FAILS(oci_layout_find(dir, NULL, &blob, &err), &err, "oci.layout");
	CHECK_FAILS(oci_layout_find("/nowhere", NULL, &blob, &err), &err, "oci.layout");
}

/* An index that leads to an index, and on. */
static void check_nesting(void)
{
	auto_free char *dir = new_layout("nested");
	struct oci_blob inner, found;
	struct err err;

	CHECK(oci_layout_add(dir, OCI_TYPE_MANIFEST, GOOD, strlen(GOOD), &inner, &err) == 0);
	for (unsigned depth = 1; depth < 5; depth++) {
		auto_json json_t *index = json_pack(
			"{s:i,s:[o]}", "schemaVersion", 2, "manifests", oci_blob_json(&inner));
		auto_free char *text = json_dumps(index, JSON_COMPACT);

		write_text(dir, "index.json", text);
		if (depth <= 3) {
			CHECK(oci_layout_find(dir, NULL, &found, &err) == 0);
			CHECK_TEXT(found.type, OCI_TYPE_MANIFEST);
		} else {
			CHECK_FAILS(oci_layout_find(dir, NULL, &found, &err), &err, "oci.index");
		}
		CHECK(oci_layout_add(dir, OCI_TYPE_INDEX, text, strlen(text), &inner, &err) == 0);
	}
}

int main(void)
{
	struct err err;

	if (!mkdtemp(folder))
		return 1;
	check_good_manifests();
	check_bad_manifests();
	check_limits();
	check_configs();
	check_indexes();
	check_round_trip();
	check_damage();
	check_no_layout();
	check_nesting();
	CHECK(files_tree_remove(folder, &err) == 0);
	CHECK_DONE();
}
