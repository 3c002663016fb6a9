/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's pure rules: names, ranges, what a manifest must be; and answers of a server behind
 * a relay. */
#include <stdlib.h>

#include "lib/http_parse.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/registry-gw/access.h"
#include "services/registry-gw/manifest_check.h"
#include "services/registry-gw/oci_error.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/upload_write.h"
#include "tests/unit/check.h"

#define IMAGE "application/vnd.oci.image.manifest.v1+json"
#define INDEX "application/vnd.oci.image.index.v1+json"
#define DIGEST "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_names(void)
{
	static const char *const good[] = { "a", "acme/app", "a.b", "a_b", "a__b", "a---b",
		"a/b/c-d", "0" };
	static const char *const bad[] = { "", "/a", "a/", "a//b", "A", "a..b", "a___b", "-a", "a-",
		"a._b", "a b", "a/.b", "\xc3\xa4" };
	char longest[248];

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK(access_is_name(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!access_is_name(bad[i]));
	memset(longest, 'a', sizeof(longest));
	longest[245] = '\0';
	CHECK(access_is_name(longest));
	longest[245] = 'a';
	longest[246] = '\0';
	CHECK(!access_is_name(longest));
	CHECK(reference_is_tag("v1.0_X-y") && reference_is_tag("_"));
	CHECK(!reference_is_tag("") && !reference_is_tag(".a") && !reference_is_tag("-a") &&
		!reference_is_tag("a:b"));
}

static void test_ranges(void)
{
	static const char *const bad[] = { "", "-", "1-", "-1", "1", "1-2-3", "a-b", "2-1",
		"bytes 0-1", "0-1/2", "1000000000000000000-1000000000000000001" };
	long long from, to;
	struct err err;

	CHECK(upload_write_range(NULL, &from, &to, &err) == 0 && from == -1);
	CHECK(upload_write_range("0-0", &from, &to, &err) == 0 && from == 0 && to == 0);
	CHECK(upload_write_range("5-99", &from, &to, &err) == 0 && from == 5 && to == 99);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(upload_write_range(bad[i], &from, &to, &err), &err, "upload.bad_range");
}

static int check(
	const char *text, const char *type, bool *ret_index, json_t **ret_links, struct err *err)
{
	auto_json json_t *document = json_parse(text, strlen(text), err);
	struct manifest_facts facts;

	CHECK(document);
	if (manifest_check(document, type, &facts, err) < 0)
		return -1;
	*ret_index = facts.index;
	*ret_links = facts.links;
	json_decref(facts.layers);
	return 0;
}

static char *read_vector(void)
{
	static char text[65536];
	FILE *file = fopen("tests/data/ocicrypt-ec/manifest.json", "re");

	CHECK(file);
	if (file) {
		text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
		fclose(file);
	}
	return text;
}

static void test_manifests(void)
{
	static const char *const invalid[] = { "[]", "{}", "{\"schemaVersion\":1}",
		"{\"schemaVersion\":2,\"mediaType\":\"" INDEX "\",\"layers\":[]}",
		"{\"schemaVersion\":2,\"mediaType\":7,\"layers\":[]}",
		"{\"schemaVersion\":2,\"layers\":[],\"manifests\":[]}" };
	json_t *links = NULL;
	struct err err;
	bool index;

	CHECK(check(read_vector(), IMAGE, &index, &links, &err) == 0);
	CHECK(!index && json_array_size(links) == 2);
	CHECK_TEXT(json_string_value(json_array_get(json_array_get(links, 0), 0)), "config");
	json_decref(links);
	for (size_t i = 0; i < ARRAY_LEN(invalid); i++)
		CHECK_FAILS(
			check(invalid[i], IMAGE, &index, &links, &err), &err, "manifest.invalid");
	CHECK_FAILS(check("{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"x+encrypted\","
			  "\"digest\":\"" DIGEST "\"}]}",
			    IMAGE, &index, &links, &err),
		&err, "manifest.not_encrypted");
	CHECK(err.kind == ERR_FORBIDDEN);
	CHECK(check("{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"" DIGEST "\"}]}", INDEX,
		      &index, &links, &err) == 0);
	CHECK(index && json_array_size(links) == 1);
	json_decref(links);
	CHECK_FAILS(check("{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"sha256:1\"}]}", INDEX,
			    &index, &links, &err),
		&err, "manifest.invalid");
	CHECK_FAILS(check("{\"schemaVersion\":2,\"manifests\":[],\"config\":{}}", INDEX, &index,
			    &links, &err),
		&err, "manifest.invalid");
}

static void test_references(void)
{
	static const char *const invalid[] = { "\"subject\":7", "\"subject\":{}",
		"\"subject\":{\"digest\":\"sha256:1\"}", "\"annotations\":[]",
		"\"annotations\":{\"a\":1}", "\"artifactType\":1" };
	auto_json json_t *document = NULL;
	struct manifest_facts facts;
	char text[512];
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
		bool index;
		json_t *links;

		snprintf(text, sizeof(text), "{\"schemaVersion\":2,\"manifests\":[],%s}",
			invalid[i]);
		CHECK_FAILS(check(text, INDEX, &index, &links, &err), &err, "manifest.invalid");
	}
	snprintf(text, sizeof(text),
		"{\"schemaVersion\":2,\"manifests\":[],\"subject\":{\"digest\":\"%s\"}}", DIGEST);
	document = json_parse(text, strlen(text), &err);
	CHECK(manifest_check(document, INDEX, &facts, &err) == 0);
	CHECK_TEXT(facts.subject, DIGEST);
	CHECK(!facts.artifact_type && !facts.annotations);
	json_decref(facts.links);
	CHECK(reference_check(DIGEST, &err) == 0 && reference_check("v1", &err) == 0);
	CHECK_FAILS(reference_check("sha512:00", &err), &err, "digest.unsupported");
	CHECK_FAILS(reference_check("sha256:00", &err), &err, "digest.invalid");
	CHECK_FAILS(reference_check("-", &err), &err, "manifest.bad_reference");
}

static const char *oci_code(const json_t *body)
{
	return json_text(json_array_get(json_object_get(body, "errors"), 0), "code");
}

static void test_errors(void)
{
	struct err err;
	json_t *body;

	err_set(&err, ERR_FORBIDDEN, "manifest.not_encrypted", "layer 3");
	body = oci_error_body(&err, 403);
	CHECK_TEXT(oci_code(body), "DENIED");
	json_decref(body);
	err_set(&err, ERR_UPSTREAM, "registry.failed", "connect to '/secret/path'");
	body = oci_error_body(&err, 502);
	CHECK_TEXT(oci_code(body), "UNKNOWN");
	CHECK_TEXT(json_text(json_array_get(json_object_get(body, "errors"), 0), "message"),
		"the registry cannot answer now");
	json_decref(body);
}

static int answer(const char *text, struct http_head *head, struct err *err)
{
	static char copy[1024];
	struct http_parse *parse = http_parse_new();
	int result;

	snprintf(copy, sizeof(copy), "%s", text);
	result = http_parse_answer(parse, copy, strlen(copy), head, err);
	http_parse_free(parse);
	return result;
}

static void test_answers(void)
{
	static const char *const bad[] = { "HTTP/2.0 200 OK\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
		"HTTP/1.1 99 X\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nLocation: x" };
	struct http_head head;
	struct err err;

	CHECK(answer("HTTP/1.1 202 Accepted\r\nLocation: /x\r\nContent-Length: 7\r\n\r\n", &head,
		      &err) == 0);
	CHECK_NUMBER(head.status, 202);
	CHECK_NUMBER(head.content_length, 7);
	CHECK_TEXT(http_head_find(&head, "location"), "/x");
	CHECK(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &head, &err) == 0 &&
		head.chunked);
	CHECK(answer("HTTP/1.0 200 OK\r\n\r\n", &head, &err) == 0 && head.content_length == -1 &&
		!head.chunked);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(answer(bad[i], &head, &err), &err, "http.bad_answer");
}

int main(void)
{
	test_names();
	test_ranges();
	test_manifests();
	test_references();
	test_errors();
	test_answers();
	CHECK_DONE();
}
