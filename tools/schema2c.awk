# SPDX-License-Identifier: Apache-2.0
# schema/NNNN_*.sql -> migrations.h: static const struct migration migrations[].
function start(    n, parts) {
	if (open) print "\t\t\"\" },"
	n = split(FILENAME, parts, "/"); name = parts[n]; sub(/\.sql$/, "", name)
	printf "\t{ \"%s\",\n", name
	open = 1
}
BEGIN { print "/* Made from schema/ by tools/schema2c.awk. */\n#pragma once\n#include \"lib/service.h\"\n\nstatic const struct migration migrations[] = {" }
FNR == 1 { start() }
{ gsub(/\\/, "&&"); gsub(/"/, "\\\""); printf "\t\t\"%s\\n\"\n", $0 }
END { if (open) print "\t\t\"\" },"; print "\t{ NULL, NULL },\n};" }
