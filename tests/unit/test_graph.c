/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: their form, every fault with its code, huge ones, and what a diff says. */
#include <stdlib.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "proto/graph.h"
#include "tests/unit/check.h"

#define DST "dst_01890a5dac96774bbcceb302099a8057"
#define OUT "dst_01890a5dac96774bbcceb302099a8058"
#define APP "app_01890a5dac96774bbcceb302099a8059"
#define ACF "acf_01890a5dac96774bbcceb302099a805a"

static const char GOOD[] =
	"{\"v\":\"strongroom-graph-1\",\"objects\":{"
	"\"patients\":{\"name\":\"Patients \\u00e9\\u4e2d\\ud83d\\ude00\",\"description\":null,"
	"\"ref\":{\"dataset\":{\"dataset_id\":\"" DST "\"}}},"
	"\"count\":{\"name\":\"Count\",\"description\":\"counts\","
	"\"ref\":{\"app\":{\"app_id\":\"" APP "\",\"config_id\":\"" ACF "\"}}},"
	"\"result\":{\"name\":\"Result\",\"description\":null,"
	"\"ref\":{\"dataset\":{\"dataset_id\":\"" OUT "\"}}}},"
	"\"edges\":{\"e1\":{\"source\":{\"id\":\"patients\",\"port\":\"output\"},"
	"\"target\":{\"id\":\"count\",\"port\":\"input\"}},"
	"\"e2\":{\"source\":{\"id\":\"count\",\"port\":\"output\"},"
	"\"target\":{\"id\":\"result\",\"port\":\"input\"}}},"
	"\"positions\":{\"count\":{\"x\":10,\"y\":-10}}}";

static const char FACTS[] =
	"{\"" DST "\":{\"direction\":\"input\"},\"" OUT "\":{\"direction\":\"output\"},\"" APP
	"\":{},\"" ACF "\":{\"app\":\"" APP "\",\"ports\":[\"input\",\"output\"]}}";

static struct err err;

static json_t *parse(const char *text)
{
	json_t *doc = json_parse(text, strlen(text), &err);

	CHECK(doc);
	return doc;
}

/* The good document with one text in it replaced by another. */
static json_t *variant(const char *from, const char *to)
{
	const char *at = strstr(GOOD, from);
	auto_free char *text =
		mem_printf("%.*s%s%s", (int)(at - GOOD), GOOD, to, at + strlen(from));

	return parse(text);
}

/* The codes of all faults, joined by blanks. */
static char *codes_of(const json_t *doc, const json_t *facts)
{
	auto_arena struct arena *arena = arena_new();
	char *codes = mem_strdup("");
	auto_json json_t *faults = NULL;
	struct graph graph = { .doc = NULL };
	json_t *fault;
	size_t i, total;

	CHECK(graph_read(arena, doc, &graph, &err) == 0);
	faults = graph_faults(&graph, facts, &total);
	CHECK_NUMBER(json_array_size(faults), total);
	json_array_foreach (faults, i, fault) {
		char *longer =
			mem_printf("%s%s%s", codes, *codes ? " " : "", json_text(fault, "code"));

		CHECK(json_text(fault, "pointer")[0] == '/' && *json_text(fault, "detail"));
		free(codes);
		codes = longer;
	}
	return codes;
}

static void faults_are(json_t *doc, const char *expected)
{
	auto_json json_t *facts = parse(FACTS), *owned = doc;
	auto_free char *codes = codes_of(owned, facts);

	CHECK_TEXT(codes, expected);
}

static void every_fault(void)
{
	faults_are(parse(GOOD), "");
	faults_are(variant("{\"app\":{\"app_id\":\"" APP "\",\"config_id\":\"" ACF "\"}}",
			   "{\"placeholder\":{\"kind\":\"app\"}}"),
		"graph.placeholder");
	faults_are(variant("\"" DST "\"", "\"dst_01890a5dac96774bbcceb302099a8999\""),
		"graph.not_shared");
	faults_are(variant(ACF, "acf_01890a5dac96774bbcceb302099a8999"), "graph.not_shared");
	faults_are(variant(APP, "app_01890a5dac96774bbcceb302099a8999"),
		"graph.not_shared graph.wrong_config");
	faults_are(variant("\"id\":\"patients\"", "\"id\":\"nobody\""),
		"graph.unknown_object graph.unconnected_port");
	faults_are(variant("\"port\":\"input\"}},\"e2", "\"port\":\"other\"}},\"e2"),
		"graph.unknown_port graph.unconnected_port");
	faults_are(variant(DST, OUT), "graph.wrong_direction");
	faults_are(variant("\"id\":\"result\",\"port\":\"input\"",
			   "\"id\":\"result\",\"port\":\"output\""),
		"graph.wrong_direction");
	faults_are(variant("\"id\":\"count\",\"port\":\"output\"}",
			   "\"id\":\"patients\",\"port\":\"output\"}"),
		"graph.wrong_pair graph.unconnected_port");
	faults_are(
		variant("\"e2\":", "\"e0\":{\"source\":{\"id\":\"patients\",\"port\":\"output\"},"
				   "\"target\":{\"id\":\"count\",\"port\":\"input\"}},\"e2\":"),
		"graph.duplicate_edge");
	faults_are(parse("{\"v\":\"strongroom-graph-1\",\"objects\":{},\"edges\":{},"
			 "\"positions\":{}}"),
		"graph.no_app");
}

/* Without facts nobody says that something is not shared. */
static void without_facts(void)
{
	auto_json json_t *doc = variant(DST, OUT);
	auto_free char *codes = codes_of(doc, NULL);

	CHECK_TEXT(codes, "");
}

static void build_of_an_application(void)
{
	auto_json json_t *doc = parse(GOOD), *facts = parse(FACTS);
	auto_free char *before = NULL, *after = NULL;

	json_object_set_new(json_object_get(facts, APP), "build", json_string("PENDING"));
	before = codes_of(doc, facts);
	CHECK_TEXT(before, "graph.build_not_approved");
	json_object_set_new(json_object_get(facts, APP), "build", json_string("WHITELISTED"));
	after = codes_of(doc, facts);
	CHECK_TEXT(after, "");
}

static void ports_of_a_configuration(void)
{
	auto_json json_t *doc = parse(GOOD), *facts = parse(FACTS),
			 *only = json_pack("[s]", "input");
	auto_free char *missing = NULL, *unused = NULL;

	json_object_set(json_object_get(facts, ACF), "ports", only);
	missing = codes_of(doc, facts);
	CHECK_TEXT(missing, "graph.unknown_port");
	json_array_append_new(only, json_string("output"));
	json_array_append_new(only, json_string("models"));
	unused = codes_of(doc, facts);
	CHECK_TEXT(unused, "graph.unconnected_port");
}

/* --- big ones --- */

/* n applications in a row, the last joined to the first when it is a ring. */
static json_t *row_of(size_t n, bool is_ring)
{
	json_t *objects = json_object(), *edges = json_object();

	for (size_t i = 0; i < n; i++) {
		auto_free char *id = mem_printf("n%zu", i), *next = mem_printf("n%zu", (i + 1) % n),
			       *edge = mem_printf("e%zu", i);

		json_object_set_new(objects, id,
			json_pack("{s:s,s:n,s:{s:{s:s}}}", "name", id, "description", "ref",
				"placeholder", "kind", i % 2 ? "app" : "dataset"));
		if (i + 1 < n || is_ring)
			json_object_set_new(edges, edge,
				json_pack("{s:{s:s,s:s},s:{s:s,s:s}}", "source", "id", id, "port",
					"output", "target", "id", next, "port", "input"));
	}
	return json_pack("{s:s,s:o,s:o,s:{}}", "v", "strongroom-graph-1", "objects", objects,
		"edges", edges, "positions");
}

static bool has_code(const json_t *faults, const char *code, const char *detail_end)
{
	json_t *fault;
	size_t i;

	json_array_foreach (faults, i, fault) {
		const char *detail = json_text(fault, "detail");

		if (json_text_is(fault, "code", code) && strlen(detail) >= strlen(detail_end) &&
			strcmp(detail + strlen(detail) - strlen(detail_end), detail_end) == 0)
			return true;
	}
	return false;
}

static void huge(void)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *row = row_of(GRAPH_MAX_OBJECTS, false), *ring = row_of(90, true),
			 *more = row_of(GRAPH_MAX_OBJECTS + 1, false);
	auto_json json_t *row_faults = NULL, *ring_faults = NULL, *big_faults = NULL;
	auto_json json_t *big = row_of(GRAPH_MAX_OBJECTS, true);
	struct graph graph = { .doc = NULL };
	size_t total;

	CHECK(graph_read(arena, row, &graph, &err) == 0);
	row_faults = graph_faults(&graph, NULL, &total);
	CHECK_NUMBER(total, GRAPH_MAX_OBJECTS); /* each a placeholder, no cycle */
	CHECK_NUMBER(json_array_size(row_faults), GRAPH_MAX_FAULTS);
	CHECK(graph_read(arena, ring, &graph, &err) == 0);
	ring_faults = graph_faults(&graph, NULL, &total);
	CHECK(has_code(ring_faults, "graph.cycle", "a cycle of 90"));
	CHECK(graph_read(arena, big, &graph, &err) == 0);
	big_faults = graph_faults(&graph, NULL, &total);
	CHECK_NUMBER(total, GRAPH_MAX_OBJECTS + 1);
	CHECK_FAILS(graph_read(arena, more, &graph, &err), &err, "graph.invalid");
	CHECK_TEXT(err.fields[0].pointer, "/objects");
}

/* A cycle is told by the objects that are in it, not by those that hang on it. */
static void cycle_of_two(void)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *doc = row_of(4, false), *faults = NULL;
	struct graph graph = { .doc = NULL };
	size_t total;

	json_object_set_new(json_object_get(doc, "edges"), "back",
		json_pack("{s:{s:s,s:s},s:{s:s,s:s}}", "source", "id", "n2", "port", "output",
			"target", "id", "n1", "port", "input"));
	CHECK(graph_read(arena, doc, &graph, &err) == 0);
	faults = graph_faults(&graph, NULL, &total);
	CHECK(has_code(faults, "graph.cycle", "n1 <- n2 <- n1: a cycle of 2") ||
		has_code(faults, "graph.cycle", "n2 <- n1 <- n2: a cycle of 2"));
}

/* --- form --- */

static void refused(json_t *doc, const char *pointer)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *owned = doc;
	struct graph graph = { .doc = NULL };

	CHECK_FAILS(graph_read(arena, owned, &graph, &err), &err, "graph.invalid");
	CHECK_TEXT(err.fields[0].pointer, pointer);
}

static void form(void)
{
	refused(variant("strongroom-graph-1", "strongroom-graph-2"), "/v");
	refused(variant("\"Count\"", "\"\""), "/objects/count/name");
	refused(variant("\"Count\"", "7"), "/objects/count/name");
	refused(variant("\"count\":{\"name\"", "\"Count\":{\"name\""), "/objects/Count");
	refused(variant("\"x\":10", "\"x\":1000001"), "/positions/count/x");
	refused(variant("\"port\":\"output\"}", "\"port\":\"a/b\"}"), "/edges/e1/source/port");
	refused(variant(DST, "dst_1"), "/objects/patients/ref/dataset/dataset_id");
	refused(variant("\"dataset\":{", "\"secret\":{"), "/objects/patients/ref/secret");
	refused(variant("\"e2\":", "\"e3\":1,\"e2\":"), "/edges/e3");
}

/* --- canonical form and differences --- */

static void hash_of(json_t *doc, char ret_hash[DIGEST_TEXT_SIZE])
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *owned = doc;
	struct graph graph = { .doc = NULL };

	CHECK(graph_read(arena, owned, &graph, &err) == 0);
	memcpy(ret_hash, graph.hash, DIGEST_TEXT_SIZE);
}

static void hashes(void)
{
	char good[DIGEST_TEXT_SIZE], moved[DIGEST_TEXT_SIZE], renamed[DIGEST_TEXT_SIZE];

	hash_of(parse(GOOD), good);
	hash_of(variant("\"x\":10", "\"x\":11"), moved);
	hash_of(variant("\"Count\"", "\"Counts\""), renamed);
	CHECK_TEXT(moved, good);
	CHECK(strcmp(renamed, good) != 0);
}

static void diff_is(json_t *before, json_t *after, const char *expected)
{
	auto_json json_t *a = before, *b = after, *changes = graph_diff(a, b);
	auto_free char *all = mem_strdup("");
	json_t *change;
	size_t i;

	json_array_foreach (changes, i, change) {
		char *longer = mem_printf(
			"%s%s %s; ", all, json_text(change, "change"), json_text(change, "text"));

		free(all);
		all = longer;
	}
	CHECK_TEXT(all, expected);
}

static void differences(void)
{
	diff_is(parse(GOOD), variant("\"x\":10", "\"x\":11"), "");
	diff_is(parse(GOOD), variant("\"Count\"", "\"Counts\""),
		"changed count: name \"Count\" is now \"Counts\"; ");
	diff_is(parse(GOOD), variant(",\"config_id\":\"" ACF "\"", ",\"config_id\":null"),
		"changed count: the app " APP " with " ACF " is now the app " APP "; ");
	diff_is(parse(GOOD), variant("\"e2\":", "\"e3\":"),
		"removed e2: count.output -> result.input; "
		"added e3: count.output -> result.input; ");
	diff_is(variant("\"id\":\"patients\"", "\"id\":\"nobody\""), parse(GOOD),
		"changed e1: nobody.output -> count.input is now patients.output -> count.input; ");
	diff_is(variant("\"result\":{\"name\":\"Result\"", "\"end\":{\"name\":\"Result\""),
		parse(GOOD),
		"removed end \"Result\": the dataset " OUT
		"; added result \"Result\": the dataset " OUT "; ");
}

static void joined(void)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *doc = parse(GOOD);
	const char *port = NULL;
	struct graph graph = { .doc = NULL };
	size_t at = 0;

	CHECK(graph_read(arena, doc, &graph, &err) == 0);
	CHECK_TEXT(graph_joined(&graph, &graph.objects[1], false, &at, &port)->ref, DST);
	CHECK_TEXT(port, "input");
	CHECK(!graph_joined(&graph, &graph.objects[1], false, &at, &port));
	at = 0;
	CHECK_TEXT(graph_joined(&graph, &graph.objects[1], true, &at, &port)->ref, OUT);
}

int main(void)
{
	every_fault();
	without_facts();
	build_of_an_application();
	ports_of_a_configuration();
	huge();
	cycle_of_two();
	form();
	hashes();
	differences();
	joined();
	CHECK_DONE();
}
