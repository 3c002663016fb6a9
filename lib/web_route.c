/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request target to a row of the route table. Rows are sorted once, the more literal first,
 * so that the first that fits is right whatever the table's order. The path is decoded once and
 * refused where two readers could differ: encoded slashes, NUL, dot segments, empty segments.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http_conn.h"
#include "lib/mem.h"
#include "lib/web_inner.h"

#define MAX_ALLOW_BYTES 96

static int bad_route(struct err *err, const struct web_route *route, const char *why)
{
	return err_set(err, ERR_INTERNAL, "web.bad_routes", "route %s %s: %s", route->method,
		route->path, why);
}

/* Ownership of the copies stays with the process: tables live as long. */
static void compile_part(struct web_part *part, const char *text, size_t len)
{
	const char *end = len > 2 && text[0] == '{' ? memchr(text, '}', len) : NULL;
	size_t name_len = end ? (size_t)(end - text) - 1 : 0;

	part->literal = end ? end + 1 : text;
	part->literal_len = end ? len - name_len - 2 : len;
	if (!end)
		return;
	part->rest = name_len > 3 && memcmp(end - 3, "...", 3) == 0;
	part->param = mem_strndup(text + 1, part->rest ? name_len - 3 : name_len);
}

static int compile_path(struct web_entry *entry, struct err *err)
{
	const char *at = entry->route->path;
	size_t n_params = 0, n_rests = 0;

	while (*at == '/') {
		size_t len = strcspn(++at, "/");
		struct web_part *part = &entry->parts[entry->n_parts];

		if (entry->n_parts++ == WEB_MAX_SEGMENTS)
			return bad_route(err, entry->route, "too many segments");
		compile_part(part, at, len);
		at += len;
		n_params += part->param != NULL;
		n_rests += part->rest;
	}
	if (*at || entry->n_parts == 0 || n_params > WEB_MAX_PARAMS || n_rests > 1)
		return bad_route(err, entry->route, "not a path, or too many parameters");
	return 0;
}

static int rank_of(const struct web_part *part)
{
	if (!part->param)
		return 3;
	if (part->rest)
		return 0;
	return part->literal_len ? 2 : 1;
}

static int by_rank(const void *left, const void *right)
{
	const struct web_entry *a = left, *b = right;

	for (size_t i = 0; i < a->n_parts && i < b->n_parts; i++) {
		int difference = rank_of(&b->parts[i]) - rank_of(&a->parts[i]);

		if (difference)
			return difference;
	}
	return (int)b->n_parts - (int)a->n_parts;
}

static struct lane *lane_of(const struct web_server *server, const char *name)
{
	for (struct lane **lane = server->lanes; *lane; lane++) {
		if (strcmp(lane_name(*lane), name ? name : "db") == 0)
			return *lane;
	}
	return NULL;
}

static struct metric *answer_metrics(const struct web_route *route)
{
	struct metric *metrics = mem_array(WEB_STATUS_CLASSES, sizeof(*metrics));

	for (int i = 0; i < WEB_STATUS_CLASSES; i++) {
		metrics[i].name = "strongroom_http_requests_total";
		metrics[i].help = "Answered requests by route and class of status.";
		metrics[i].type = "counter";
		metrics[i].labels = mem_printf("method=\"%s\",route=\"%s\",status=\"%dxx\"",
			route->method, route->path, i + 1);
		metric_register(&metrics[i]);
	}
	return metrics;
}

static int compile_route(struct web_server *server, const struct web_route *route, struct err *err)
{
	struct web_entry *entry = &server->entries[server->n_entries];
	bool on_loop = route->lane && strcmp(route->lane, "loop") == 0;

	*entry = (struct web_entry) { .route = route };
	if (!!(route->handle || route->read) + !!route->stream + !!route->change != 1)
		return bad_route(err, route, "not exactly one of handle or read, stream, change");
	if (route->change && on_loop)
		return bad_route(err, route, "a change runs in a lane");
	if (route->read &&
		(on_loop || (route->access != WEB_MEMBER &&
				    !(web_asks_itself(route->access) && route->read->ask))))
		return bad_route(err, route, "a read is a member's, or asks who it is; in a lane");
	if (route->read && !route->read->ask &&
		(route->handle || !strchr(route->path, '{') || strcmp(route->method, "GET") != 0))
		return bad_route(err, route, "a read that does not ask is a GET of one thing");
	if (route->stream && (!route->stream->begin || !route->stream->release))
		return bad_route(err, route, "a stream without begin or release");
	if (compile_path(entry, err) < 0)
		return -1;
	entry->lane = on_loop ? NULL : lane_of(server, route->lane);
	if (!entry->lane && !on_loop)
		return bad_route(err, route, "no such lane");
	entry->answers = answer_metrics(route);
	server->n_entries++;
	return 0;
}

int web_route_compile(struct web_server *server, struct err *err)
{
	size_t count = 0;

	while (server->conf.routes[count].method)
		count++;
	server->entries = mem_array(count, sizeof(*server->entries));
	for (size_t i = 0; i < count; i++) {
		if (compile_route(server, &server->conf.routes[i], err) < 0)
			return -1;
	}
	qsort(server->entries, server->n_entries, sizeof(*server->entries), by_rank);
	return 0;
}

void web_route_release(struct web_server *server)
{
	for (size_t i = 0; i < server->n_entries; i++) {
		for (size_t j = 0; j < server->entries[i].n_parts; j++)
			free((char *)(uintptr_t)server->entries[i].parts[j].param);
	}
	free(server->entries);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes in place; -1 for a bad escape, a control character, or a byte of `refused`. */
static int decode(char *text, bool plus_is_space, const char *refused)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		int high = *in == '%' ? hex_value(in[1]) : 0;
		int low = *in == '%' && high >= 0 ? hex_value(in[2]) : 0;
		char c = *in;

		if (high < 0 || low < 0)
			return -1;
		if (*in == '%') {
			c = (char)(high * 16 + low);
			in += 2;
			if (c && strchr(refused, c))
				return -1;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (!c || (unsigned char)c == 0x7f || ((unsigned char)c < ' ' && !plus_is_space))
			return -1;
		*out++ = c;
	}
	*out = '\0';
	return 0;
}

/* RFC 3629, by the lead byte's length and the smallest value for it. */
static bool is_utf8(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at) {
		unsigned more = *at < 0x80   ? 0
				: *at < 0xc2 ? 9
				: *at < 0xe0 ? 1
				: *at < 0xf0 ? 2
					     : 3;
		unsigned value = more ? *at & (0x3fu >> more) : *at;

		if (more == 9 || *at++ > 0xf4)
			return false;
		for (unsigned i = 0; i < more; i++, at++) {
			if ((*at & 0xc0) != 0x80)
				return false;
			value = value << 6 | (*at & 0x3f);
		}
		if ((more == 2 && value < 0x800) || (more == 3 && value < 0x10000) ||
			(value >= 0xd800 && value < 0xe000) || value > 0x10ffff)
			return false;
	}
	return true;
}

/* No empty segment but the last, no "." and no "..". */
static bool has_good_segments(const char *path)
{
	for (const char *at = path + 1;; at++) {
		size_t len = strcspn(at, "/");
		bool dots = (len == 1 && at[0] == '.') || (len == 2 && memcmp(at, "..", 2) == 0);

		if (dots || (len == 0 && at[0] == '/'))
			return false;
		at += len;
		if (!*at)
			return true;
	}
}

static int decode_query(struct web_call *call, char *text, struct err *err)
{
	char *pair, *rest = text;

	while ((pair = strsep(&rest, "&"))) {
		char *value = pair;
		char *name = strsep(&value, "=");

		if (!*pair)
			continue;
		if (call->n_query == WEB_MAX_QUERY)
			return err_set(err, ERR_INVALID, "request.bad_query",
				"more than %d parameters", WEB_MAX_QUERY);
		if (decode(name, true, "") < 0 || (value && decode(value, true, "") < 0) ||
			!is_utf8(name) || (value && !is_utf8(value)))
			return err_set(err, ERR_INVALID, "request.bad_query",
				"a parameter is not correctly encoded");
		call->query[call->n_query++] = (struct web_pair) { name, value ? value : "" };
	}
	return 0;
}

static int decode_target(struct web_call *call, struct err *err)
{
	char *query = call->head.target;
	char *path = strsep(&query, "?");

	if (path[0] != '/' || strchr(path, '#') || (query && strchr(query, '#')))
		return err_set(err, ERR_INVALID, "request.bad_target", "the target is not a path");
	for (const char *c = path; *c; c++) {
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '\\')
			return err_set(err, ERR_INVALID, "request.bad_path",
				"the path has a byte that must be encoded");
	}
	if (decode(path, false, "/\\") < 0 || !is_utf8(path) || !has_good_segments(path))
		return err_set(err, ERR_INVALID, "request.bad_path",
			"the path has a bad escape or an empty or dot segment");
	call->req.path = path;
	return query ? decode_query(call, query, err) : 0;
}

static bool match_part(
	struct web_call *call, const struct web_part *part, const char *text, size_t len)
{
	size_t value_len;

	if (len < part->literal_len || (!part->param && len != part->literal_len))
		return false;
	value_len = len - part->literal_len;
	if (memcmp(text + value_len, part->literal, part->literal_len) != 0)
		return false;
	if (!part->param)
		return true;
	if (value_len == 0)
		return false;
	call->req.params[call->req.n_params++] =
		(struct web_pair) { part->param, arena_strndup(call->arena, text, value_len) };
	return true;
}

/* How many bytes {rest...} takes so that `n_behind` segments are left; 0: there are too few. */
static size_t rest_len(const char *text, size_t n_behind)
{
	size_t len = strlen(text);

	while (n_behind > 0 && len > 0) {
		len--;
		n_behind -= text[len] == '/';
	}
	return len;
}

static bool match_path(struct web_call *call, const struct web_entry *entry)
{
	const char *at = call->req.path;

	call->req.n_params = 0;
	for (size_t i = 0; i < entry->n_parts; i++) {
		const struct web_part *part = &entry->parts[i];
		size_t len = *at == '/' ? strcspn(at + 1, "/") : 0;

		if (*at == '/' && part->rest)
			len = rest_len(at + 1, entry->n_parts - i - 1);
		if (*at != '/' || !match_part(call, part, at + 1, len))
			return false;
		at += 1 + len;
	}
	return *at == '\0';
}

static bool serves(const struct web_route *route, const char *method, bool head_by_get)
{
	if (strcmp(route->method, method) == 0)
		return true;
	return head_by_get && strcmp(method, "HEAD") == 0 && !route->stream &&
	       strcmp(route->method, "GET") == 0;
}

/* The methods that this path has, as one header value. */
static void allow_add(char allow[MAX_ALLOW_BYTES], const struct web_route *route)
{
	size_t len = strlen(allow);

	if (strstr(allow, route->method) || len + strlen(route->method) + 9 > MAX_ALLOW_BYTES)
		return;
	snprintf(allow + len, MAX_ALLOW_BYTES - len, "%s%s", len ? ", " : "", route->method);
	len = strlen(allow);
	if (strcmp(route->method, "GET") == 0 && !route->stream && !strstr(allow, "HEAD"))
		snprintf(allow + len, MAX_ALLOW_BYTES - len, ", HEAD");
}

static const struct web_entry *find(struct web_call *call, bool head_by_get, char *allow)
{
	const struct web_server *server = call->server;

	for (size_t i = 0; i < server->n_entries; i++) {
		const struct web_entry *entry = &server->entries[i];

		if ((entry->route->access == WEB_LOCAL) != http_conn_is_local(call->conn) ||
			!match_path(call, entry))
			continue;
		if (serves(entry->route, call->head.method, head_by_get))
			return entry;
		allow_add(allow, entry->route);
	}
	return NULL;
}

int web_route_match(struct web_call *call, struct err *err)
{
	char allow[MAX_ALLOW_BYTES] = "";

	if (decode_target(call, err) < 0)
		return -1;
	if (!http_conn_may_ask(call->conn, call->req.path))
		return err_set(err, ERR_FORBIDDEN, "edge.wrong_peer",
			"the certificate of this connection is not for this path");
	call->entry = find(call, false, allow);
	if (!call->entry && *allow)
		call->entry = find(call, true, allow);
	if (call->entry) {
		call->req.of = call->entry->route->of;
		return 0;
	}
	if (!*allow)
		return err_set(err, ERR_NOT_FOUND, "request.no_route", "no such path");
	web_header_add(&call->res, "Allow", arena_strdup(call->arena, allow));
	return err_set(err, ERR_METHOD, "request.method_not_allowed", "the path has no %s",
		call->head.method);
}
