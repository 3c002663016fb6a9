/* SPDX-License-Identifier: Apache-2.0 */
/* The policy's gates at the output: each number at and over its limit, types, rows and what is
 * printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/gates.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static char root[] = "/tmp/test_gates.XXXXXX";
static struct err err;

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	CHECK(file && fputs(text, file) >= 0);
	if (file)
		fclose(file);
}

struct row {
	const char *gate, *value; /* JSON */
	const char *code;	  /* NULL: it is let through */
	size_t printed;		  /* of the 4 bytes on stdout */
};

/* Two tables of two and three rows, 40 bytes together, in a folder. */
static const struct row ROWS[] = {
	{ "max_bytes", "null", NULL, 4 },
	{ "max_bytes", "44", NULL, 4 }, /* with what was printed */
	{ "max_bytes", "43", "output.gate_bytes", 4 },
	{ "max_files", "3", NULL, 4 }, /* the folder is one */
	{ "max_files", "2", "output.gate_files", 4 },
	{ "file_types", "[\"csv\",\"tsv\"]", NULL, 0 },
	{ "file_types", "[\"csv\",\"tsv\",\"txt\"]", NULL, 4 },
	{ "file_types", "[\"csv\"]", "output.gate_type", 0 },
	{ "file_types", "[]", "output.gate_type", 0 },
	{ "minimum_rows", "2", NULL, 0 },
	{ "minimum_rows", "3", "output.gate_rows", 0 },
	{ "minimum_rows", "0", NULL, 0 },
};

static void expect(const struct row *row)
{
	auto_json json_t *gates = json_pack(
		"{s:n,s:n,s:n,s:n}", "max_bytes", "max_files", "file_types", "minimum_rows");
	struct outpack_conf conf = { .output_dir = ".",
		.stdout_data = "out\n",
		.stdout_len = 4,
		.max_bytes = 1 << 20,
		.max_files = 100 };

	json_object_set_new(gates, row->gate, json_loads(row->value, JSON_DECODE_ANY, NULL));
	err_clear(&err);
	CHECK((gates_check(gates, &conf, &err) == 0) == !row->code);
	CHECK_TEXT(err.code, row->code ? row->code : "");
	CHECK_NUMBER(conf.stdout_len, row->printed);
	CHECK(gates_stand(gates) == (strcmp(row->value, "null") != 0));
	CHECK(!strstr(err.detail, "csv,") &&
		!strstr(err.detail, "table.")); /* nothing of the app's */
}

static void test_each(void)
{
	CHECK(mkdir("more", 0755) == 0);
	put("table.CSV", "a,b\n1,2\n3,4\n");					/* 12 bytes */
	put("more/quoted.tsv", "a,b\r\n\"1\n\n2\",3\r\n\r\n4,\"\"\"\n\"\n5,6"); /* 28 */
	for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
		expect(&ROWS[i]);
}

/* What has no rows is not let through where rows are asked for; nor is what hides its type. */
static void test_others(void)
{
	static const struct row rows[] = {
		{ "minimum_rows", "0", "output.gate_rows", 0 },
		{ "file_types", "[\"csv\",\"tsv\"]", "output.gate_type", 0 },
	};
	static const char *const names[] = { "picture.png", "csv", ".csv", "x.csv.gz", "x." };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		put(names[i], "a\nb\nc\nd\n");
		for (size_t n = 0; n < ARRAY_LEN(rows); n++)
			expect(&rows[n]);
		CHECK(unlink(names[i]) == 0);
	}
	CHECK(symlink("/etc/passwd", "link.png") == 0); /* is not packed, and not counted */
	expect(&ROWS[3]);
}

int main(void)
{
	CHECK(mkdtemp(root) && chdir(root) == 0);
	test_each();
	test_others();
	CHECK(unlink("link.png") == 0 && unlink("table.CSV") == 0 &&
		unlink("more/quoted.tsv") == 0 && rmdir("more") == 0);
	CHECK(chdir("/") == 0 && rmdir(root) == 0);
	CHECK_DONE();
}
