# SPDX-License-Identifier: Apache-2.0
# count, unique, top, freq of one column of a CSV (RFC 4180), printed as pandas prints them. Empty fields do not count.

# Splits a whole record into F[1..n].
function split_record(s,   n, p, value) {
	for (n = 1;; n++) {
		if (substr(s, 1, 1) != "\"") {
			p = index(s, ",")
			F[n] = p ? substr(s, 1, p - 1) : s
			if (!p)
				return n
			s = substr(s, p + 1)
			continue
		}
		s = substr(s, 2)
		for (value = "";; s = substr(s, 2)) {
			p = index(s, "\"")
			value = value substr(s, 1, p - 1)
			s = substr(s, p + 1)
			if (substr(s, 1, 1) != "\"")
				break
			value = value "\""
		}
		F[n] = value
		if (s == "")
			return n
		s = substr(s, 2)
	}
}

function quote(text) {
	gsub(/"/, "\"\"", text)
	return "\"" text "\""
}

function header(   n, i) {
	n = split_record(record)
	for (i = 1; i <= n; i++)
		if (F[i] == column)
			at = i
	if (at)
		return
	print "no column " column > "/dev/stderr"
	failed = 1
	exit 1
}

function line(name, value) {
	printf "%-6s    %" width "s\n", name, value
}

{
	sub(/\r$/, "")
	if (NR == 1)
		sub(/^\357\273\277/, "")
	record = is_open ? record "\n" $0 : $0
	# An odd number of quotes: the record goes on behind this line.
	text = record
	is_open = gsub(/"/, "", text) % 2
	if (is_open || record == "")
		next
	if (!at) {
		header()
		next
	}
	split_record(record)
	if (F[at] == "")
		next
	count++
	if (!(F[at] in seen)) {
		order[unique++] = F[at]
	}
	seen[F[at]]++
}

END {
	if (failed)
		exit 1
	for (i = 0; i < unique; i++)
		if (seen[order[i]] > freq) {
			freq = seen[order[i]]
			top = order[i]
		}
	width = length(top)
	if (width < length(count + 0))
		width = length(count + 0)
	line("count", count + 0)
	line("unique", unique + 0)
	line("top", top)
	line("freq", freq + 0)
	print "count,unique,top,freq" > table
	print (count + 0) "," (unique + 0) "," quote(top) "," (freq + 0) > table
}
