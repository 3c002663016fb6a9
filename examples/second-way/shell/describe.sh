#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Describes one column of each input table, and leaves the answer at each output, encrypted. busybox and aes-gcm only.
set -u
ports=/opt/fortanix/enclave-os/app-config/rw
column=${COLUMN:-DESCRIPTION}
scratch=$(mktemp -d)
umask 077

# field FILE NAME: the text of that member of a small JSON file; empty when it is null.
field() {
	sed -n "s/.*\"$2\" *: *\"\([^\"]*\)\".*/\1/p" "$1"
}

# Of the dataset in $1: its key in $scratch/key, host:port in $host, path with query in $path.
open_dataset() {
	location=$(cat "$1/dataset/location.txt")
	query=$(field "$1/dataset/credentials.bin" query_string | base64 -d)
	field "$1/dataset/credentials.bin" key >"$scratch/key"
	case $location in
	http://127.0.0.1:*) ;;
	*) echo "only the agent speaks TLS for this program, and $location is not the agent's" >&2; return 1 ;;
	esac
	rest=${location#http://}
	host=${rest%%/*}
	path=/${rest#*/}${query:+?$query}
}

get() {
	open_dataset "$1" && wget -q -O "$scratch/message" "http://$host$path" || return 1
	if [ -s "$scratch/key" ]; then
		aes-gcm decrypt "$scratch/key" <"$scratch/message"
	else
		cat "$scratch/message"
	fi
}

# busybox's wget only knows GET and POST.
put() {
	open_dataset "$1" || return 1
	if [ -s "$scratch/key" ]; then
		aes-gcm encrypt "$scratch/key" >"$scratch/message" || return 1
	else
		cat >"$scratch/message"
	fi
	{
		printf 'PUT %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %s\r\n\r\n' \
			"$path" "$host" "$(wc -c <"$scratch/message")"
		cat "$scratch/message"
	} | nc "${host%:*}" "${host#*:}" >"$scratch/answer"
	head -n 1 "$scratch/answer" | grep -q '^HTTP/1.1 20[0-9]'
}

# Of a CSV, with quotes and commas in them, but no line break in a field.
describe() {
	awk -v column="$column" '
	function cut(line, fields,	n, text, quoted, i, c) {
		n = 1; text = ""; quoted = 0
		for (i = 1; i <= length(line); i++) {
			c = substr(line, i, 1)
			if (c == "\"" && quoted && substr(line, i + 1, 1) == "\"") { text = text c; i++ }
			else if (c == "\"") quoted = !quoted
			else if (c == "," && !quoted) { fields[n++] = text; text = "" }
			else if (c != "\r") text = text c
		}
		fields[n] = text
		return n
	}
	NR == 1 { n = cut($0, head); for (i = 1; i <= n; i++) if (head[i] == column) at = i; next }
	{ cut($0, row); if (row[at] != "") { count++; seen[row[at]]++ } }
	END {
		if (!at || !count) exit 1
		for (value in seen) {
			unique++
			if (seen[value] > freq || (seen[value] == freq && value < top)) { top = value; freq = seen[value] }
		}
		printf "count %d\nunique %d\ntop %s\nfreq %d\n", count, unique, top, freq
	}'
}

# As the inside of a JSON text.
escaped() {
	sed 's/\\/\\\\/g; s/"/\\"/g; s/	/\\t/g' "$1" | tr -d '\r' | awk '{ printf "%s\\n", $0 }'
}

code=0
: >"$scratch/stdout"
for folder in "$ports"/input/*/; do
	{ get "$folder" >"$scratch/table" && describe <"$scratch/table" >>"$scratch/stdout"; } 2>>"$scratch/stderr" || code=1
done
printf '{"returncode": %d, "stdout": "%s", "stderr": "%s"}' "$code" "$(escaped "$scratch/stdout")" "$(escaped "$scratch/stderr")" >"$scratch/result"
for folder in "$ports"/output/*/; do
	put "$folder" <"$scratch/result" || code=1
done
rm -rf "$scratch"
exit "$code"
