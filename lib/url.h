/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs that somebody else wrote, taken apart strictly: scheme://host[:port][/path[?query]] of plain
 * ASCII, and nothing that two readers could understand differently (userinfo, backslashes,
 * fragments, bare percent signs). Nothing is decoded.
 */
#ifndef STRONGROOM_URL_H
#define STRONGROOM_URL_H

#include <stdbool.h>

#include "lib/err.h"

#define URL_MAX_LEN 2048

struct url {
	char scheme[8];	   /* "https", "http", "s3" */
	char host[254];	   /* lower case; of an IPv6 literal without its brackets */
	char port[6];	   /* the scheme's when the text has none; "" for s3 */
	const char *path;  /* in the text, with the query behind it; "/" when there is none */
	const char *query; /* in the text, behind the '?', or NULL */
	bool is_address;   /* the host is an IP literal in any spelling */
};

/* url.malformed */
int url_parse(const char *text, struct url *ret_url, struct err *err)
	__attribute__((warn_unused_result));

#endif
