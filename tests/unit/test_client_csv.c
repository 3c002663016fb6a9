/* SPDX-License-Identifier: Apache-2.0 */
/* Projections of CSV: quoting, columns, filters, minimum rows, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "client/csv.h"
#include "client/projection.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "tests/unit/check.h"

#define DATA                                                                                       \
	"\xef\xbb\xbfID,AGE,\"NAME\"\r\n"                                                          \
	"1,9,\"Miller, Anna\"\r\n"                                                                 \
	"2,10,\"said \"\"no\"\"\"\n\n"                                                             \
	"3,080,\"two\nlines\"\n"                                                                   \
	"4,,plain"

static int collect(void *arg, const void *data, size_t len, struct err *err)
{
	return buf_add(arg, data, len, err);
}

static int project(const char *data, const char *columns, const char *filter, const char *minimum,
	struct buf *out, struct csv_result *result, struct err *err)
{
	auto_json json_t *projection = NULL, *names = NULL;
	FILE *in = fmemopen((char *)data, strlen(data), "r");
	int failed = columns ? projection_columns(columns, NULL, &names, err)
			     : csv_header(in, &names, err);

	out->len = 0;
	rewind(in);
	if (failed == 0)
		failed = projection_body("p", names, filter, minimum, &projection, err);
	if (failed == 0)
		failed = csv_project(in, projection, collect, out, result, err);
	fclose(in);
	return failed;
}

static void gives(const char *columns, const char *filter, const char *expected, long long rows)
{
	auto_buf out = BUF_INIT(65536);
	struct csv_result result = { 0 };
	struct err err = { 0 };

	CHECK_NUMBER(project(DATA, columns, filter, NULL, &out, &result, &err), 0);
	CHECK_TEXT((char *)out.data, expected);
	CHECK_NUMBER(result.rows_out, rows);
	CHECK_NUMBER(result.rows_in, 4);
}

static void refuses(const char *data, const char *columns, const char *filter, const char *minimum,
	const char *code)
{
	auto_buf out = BUF_INIT(65536);
	struct csv_result result = { 0 };
	struct err err = { 0 };

	CHECK_FAILS(project(data, columns, filter, minimum, &out, &result, &err), &err, code);
	CHECK_NUMBER(result.rows_out, 0);
}

int main(void)
{
	gives(NULL, NULL,
		"ID,AGE,NAME\n1,9,\"Miller, Anna\"\n2,10,\"said "
		"\"\"no\"\"\"\n3,080,\"two\nlines\"\n4,,plain\n",
		4);
	gives("NAME,ID", NULL,
		"NAME,ID\n\"Miller, Anna\",1\n\"said \"\"no\"\"\",2\n\"two\nlines\",3\nplain,4\n",
		4);
	gives("ID", "AGE>9", "ID\n2\n3\n", 2);
	gives("ID", "AGE>=9&AGE<80", "ID\n1\n2\n", 2);
	gives("ID", "AGE=80", "ID\n3\n", 1);
	gives("ID", "AGE!=9&AGE<=10", "ID\n2\n4\n", 2);
	gives("ID", "NAME in plain|Miller, Anna", "ID\n1\n4\n", 2);
	refuses(DATA, "COLOUR", NULL, NULL, "projection.no_column");
	refuses(DATA, NULL, "COLOUR=1", NULL, "projection.no_column");
	refuses(DATA, NULL, "AGE~1", NULL, "projection.filter");
	refuses(DATA, NULL, "AGE>9", "3", "projection.too_few_rows");
	refuses("", NULL, NULL, NULL, "csv.syntax");
	refuses("A,B\n1\n", NULL, NULL, NULL, "csv.syntax");
	refuses("A\n\"open\n", NULL, NULL, NULL, "csv.syntax");
	refuses("A\n\"x\"y\n", NULL, NULL, NULL, "csv.syntax");
	refuses("A\nx\"y\n", NULL, NULL, NULL, "csv.syntax");
	refuses("A\nx\ry\n", NULL, NULL, NULL, "csv.syntax");
	CHECK_DONE();
}
