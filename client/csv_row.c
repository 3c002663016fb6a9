/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 4180, strict about quotes: a quote within a bare field, or text behind a closing quote, is
 * refused. */
#include "client/csv_row.h"

#include <string.h>

void csv_row_init(struct csv_row *row)
{
	*row = (struct csv_row) { .text = BUF_INIT(CSV_MAX_ROW), .next_line = 1 };
}

void csv_row_release(struct csv_row *row)
{
	buf_wipe(&row->text);
}

const char *csv_row_field(const struct csv_row *row, size_t at)
{
	return (const char *)row->text.data + row->starts[at];
}

static int bad(const struct csv_row *row, struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "csv.syntax", "line %lld: %s", row->next_line, what);
}

static int add_byte(struct csv_row *row, int c, struct err *err)
{
	char byte = (char)c;

	if (c == '\0')
		return bad(row, err, "a NUL byte");
	if (c == '\n')
		row->next_line++;
	return buf_add(&row->text, &byte, 1, err);
}

/* Behind the opening quote, up to and with the closing one; returns what follows it, or -2. */
static int read_quoted(struct csv_row *row, FILE *in, struct err *err)
{
	int c;

	while ((c = getc_unlocked(in)) != EOF) {
		if (c == '"') {
			c = getc_unlocked(in);
			if (c != '"')
				return c;
		}
		if (add_byte(row, c, err) < 0)
			return -2;
	}
	bad(row, err, "the file ends within quotes");
	return -2;
}

static int read_bare(struct csv_row *row, FILE *in, int c, struct err *err)
{
	for (; c != EOF && c != ',' && c != '\n' && c != '\r'; c = getc_unlocked(in)) {
		if (c == '"') {
			bad(row, err, "a quote within a field that does not begin with one");
			return -2;
		}
		if (add_byte(row, c, err) < 0)
			return -2;
	}
	return c;
}

/* One field; returns the byte behind it (',', '\n', '\r', EOF) or -2. */
static int read_field(struct csv_row *row, FILE *in, int first, struct err *err)
{
	int c;

	if (row->n_fields >= CSV_MAX_COLUMNS) {
		bad(row, err, "too many columns");
		return -2;
	}
	row->starts[row->n_fields++] = row->text.len;
	c = first == '"' ? read_quoted(row, in, err) : read_bare(row, in, first, err);
	if (c == -2 || buf_add(&row->text, "", 1, err) < 0)
		return -2;
	if (c != ',' && c != '\n' && c != '\r' && c != EOF) {
		bad(row, err, "text behind a closing quote");
		return -2;
	}
	return c;
}

static int skip_empty(struct csv_row *row, FILE *in)
{
	int c = getc_unlocked(in);

	if (row->next_line == 1 && c == 0xef) { /* byte order mark */
		getc_unlocked(in);
		getc_unlocked(in);
		c = getc_unlocked(in);
	}
	for (; c == '\n' || c == '\r'; c = getc_unlocked(in))
		row->next_line += c == '\n';
	return c;
}

int csv_row_read(struct csv_row *row, FILE *in, struct err *err)
{
	int c = skip_empty(row, in);

	row->text.len = 0;
	row->n_fields = 0;
	row->line = row->next_line;
	if (c == EOF)
		return ferror(in) ? err_errno(err, "read the data") : 0;
	for (;;) {
		c = read_field(row, in, c, err);
		if (c == -2)
			return -1;
		if (c != ',')
			break;
		c = getc_unlocked(in);
	}
	if (c == '\r' && (c = getc_unlocked(in)) != '\n' && c != EOF)
		return bad(row, err, "a carriage return without a line feed");
	row->next_line++;
	return 1;
}

int csv_field_write(struct buf *line, const char *field, struct err *err)
{
	if (!strpbrk(field, ",\"\r\n"))
		return buf_add_text(line, field, err);
	if (buf_add_text(line, "\"", err) < 0)
		return -1;
	for (; *field; field++) {
		if (buf_add(line, field, 1, err) < 0 ||
			(*field == '"' && buf_add(line, field, 1, err) < 0))
			return -1;
	}
	return buf_add_text(line, "\"", err);
}
