# SPDX-License-Identifier: Apache-2.0
# proto/errors/*.json -> error_help.h: what to do about each error code.
BEGIN {
	RS = "}"
	print "/* Made from proto/errors by tools/errors2c.awk. */\n#pragma once\n"
	print "static const struct {\n\tconst char *code, *help;\n} error_help[] = {"
}
match($0, /"[a-z0-9_]+(\.[a-z0-9_]+)+"[ \t\n]*:[ \t\n]*{/) {
	code = substr($0, RSTART + 1)
	sub(/".*/, "", code)
	if (!match($0, /"help"[ \t\n]*:[ \t\n]*"([^"\\]|\\.)*"/)) next
	help = substr($0, RSTART, RLENGTH)
	sub(/^"help"[ \t\n]*:[ \t\n]*/, "", help)
	if (code in seen) next
	seen[code] = 1
	printf "\t{ \"%s\", %s },\n", code, help
}
END { print "};" }
