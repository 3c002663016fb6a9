/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a dataset from the options of its command. */
#include "client/dataset.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/url.h"

#define LONG_DESCRIPTION_MAX (64 * 1024)

/* A query string must not leave this machine in clear: it is refused here. */
static int read_location(const struct cli *cli, json_t *body, struct err *err)
{
	const char *text = cli_value(cli, "location"), *digest = cli_value(cli, "digest");
	struct url url;

	if (digest && !text)
		return err_set(
			err, ERR_INVALID, "usage.option", "--digest is of what lies at --location");
	if (!text)
		return 0;
	if (url_parse(text, &url, err) < 0)
		return -1;
	if (url.query)
		return err_set(err, ERR_INVALID, "dataset.bad_location",
			"leave out the '?' and what is behind it: that is for 'dataset credentials "
			"--query-file', which seals it");
	json_object_set_new(body, "location", json_pack("{s:s}", "url", text));
	json_object_del(body, "digest");
	if (digest)
		json_object_set_new(body, "digest", json_string(digest));
	return 0;
}

static int read_long_description(const struct cli *cli, json_t *body, struct err *err)
{
	const char *path = cli_value(cli, "long-description");
	auto_buf text = BUF_INIT(LONG_DESCRIPTION_MAX);
	json_t *value;

	if (!path)
		return 0;
	if (buf_read_file(&text, path, err) < 0)
		return err_wrap(err, "--long-description, at most %d bytes", LONG_DESCRIPTION_MAX);
	value = json_stringn(text.data ? (const char *)text.data : "", text.len);
	if (!value)
		return err_set(err, ERR_INVALID, "usage.option", "'%s' is no UTF-8 text", path);
	json_object_set_new(body, "long_description", value);
	return 0;
}

static int read_projection(
	struct session *session, const struct cli *cli, json_t *body, struct err *err)
{
	const char *called = cli_value(cli, "projection");
	auto_json json_t *record = NULL;

	if (!called)
		return 0;
	if (session_find(session, &collection_projections, called, &record, err) < 0)
		return -1;
	json_object_set(body, "projection", json_object_get(record, "id"));
	return 0;
}

int dataset_read_options(
	struct session *session, const struct cli *cli, json_t *body, struct err *err)
{
	static const char *const texts[] = { "name", "description" };
	auto_json json_t *labels = NULL;

	if (cli_map(cli, "labels", &labels, err) < 0 || read_location(cli, body, err) < 0 ||
		read_long_description(cli, body, err) < 0 ||
		read_projection(session, cli, body, err) < 0)
		return -1;
	if (labels)
		json_object_set(body, "labels", labels);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (cli_value(cli, texts[i]))
			json_object_set_new(body, texts[i], json_string(cli_value(cli, texts[i])));
	}
	return 0;
}

static int add_escaped(struct buf *query, const char *text, struct err *err)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *text; text++) {
		if (buf_printf(query, err, strchr(plain, *text) ? "%c" : "%%%02X",
			    (unsigned char)*text) < 0)
			return -1;
	}
	return 0;
}

int dataset_list_query(
	struct session *session, const struct cli *cli, char **ret_query, struct err *err)
{
	auto_buf query = BUF_INIT(16 * 1024);
	auto_json json_t *labels = NULL;
	auto_free char *space = NULL;
	const char *name;
	json_t *value;

	if (cli_map(cli, "labels", &labels, err) < 0 ||
		shares_space(session, cli, &space, err) < 0 ||
		buf_printf(&query, err, "%s%s", space ? "?space=" : "", space ? space : "") < 0)
		return -1;
	json_object_foreach (labels, name, value) {
		if (buf_printf(&query, err, "%clabel=", query.len ? '&' : '?') < 0 ||
			add_escaped(&query, name, err) < 0 || add_escaped(&query, "=", err) < 0 ||
			add_escaped(&query, json_string_value(value), err) < 0)
			return -1;
	}
	*ret_query = mem_strndup(query.data ? (const char *)query.data : "", query.len);
	return 0;
}
