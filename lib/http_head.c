/* SPDX-License-Identifier: Apache-2.0 */
/* The headers of a parsed head by their names. */
#include <strings.h>

#include "lib/http_parse.h"

/* Most differ in their first letter, and of each request some twenty names are asked for. */
static bool is_named(const struct web_pair *header, const char *name)
{
	return ((*header->name ^ *name) & ~0x20) == 0 && strcasecmp(header->name, name) == 0;
}

const char *http_head_find(const struct http_head *head, const char *name)
{
	for (size_t i = 0; i < head->n_headers; i++) {
		if (is_named(&head->headers[i], name))
			return head->headers[i].value;
	}
	return NULL;
}

size_t http_head_count(const struct http_head *head, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < head->n_headers; i++)
		count += is_named(&head->headers[i], name);
	return count;
}
