# SPDX-License-Identifier: Apache-2.0
# proto/errors/*.json -> error_help.h: what each error code means, and what to do about it.
# The text of a member, with its quotes; what JSON escapes, C escapes alike.
function member(name,   text) {
	if (!match($0, "\"" name "\"[ \t\n]*:[ \t\n]*\"([^\"\\\\]|\\\\.)*\"")) return ""
	text = substr($0, RSTART, RLENGTH)
	sub(/^"[a-z]+"[ \t\n]*:[ \t\n]*/, "", text)
	return text
}
BEGIN {
	RS = "}"
	print "/* Made from proto/errors by tools/errors2c.awk. */\n#pragma once\n"
	print "static const struct {\n\tconst char *code, *meaning, *help;\n} error_help[] = {"
}
match($0, /"[a-z0-9_]+(\.[a-z0-9_]+)+"[ \t\n]*:[ \t\n]*{/) {
	code = substr($0, RSTART + 1)
	sub(/".*/, "", code)
	meaning = member("meaning")
	help = member("help")
	if (meaning == "" || help == "" || code in seen) next
	seen[code] = 1
	printf "\t{ \"%s\", %s, %s },\n", code, meaning, help
}
END { print "};" }
