# SPDX-License-Identifier: Apache-2.0
# queries.sql -> queries.h: each statement under "-- name: run_insert" becomes SQL_RUN_INSERT.
function flush(    i, n, max) {
	if (name == "") return
	sub(/[ \t\n;]+$/, "", text)
	max = 0
	rest = text
	while (match(rest, /\$[0-9]+/)) {
		n = substr(rest, RSTART + 1, RLENGTH - 1) + 0
		if (n > max) max = n
		rest = substr(rest, RSTART + RLENGTH)
	}
	gsub(/\\/, "&&", text); gsub(/"/, "\\\"", text); gsub(/\n/, "\\n\"\n\t\"", text)
	printf "static const struct sql SQL_%s __attribute__((unused)) = {\n\t\"%s\",\n\t\"%s\",\n\t%d,\n};\n\n", toupper(name), name, text, max
}
BEGIN { print "/* Made from queries.sql by tools/sql2c.awk. */\n#pragma once\n#include \"lib/db.h\"\n" }
/^-- name: / { flush(); name = $3; text = ""; next }
/^--/ { next }
name != "" { text = text (text == "" ? "" : "\n") $0 }
END { flush() }
