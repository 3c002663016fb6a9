/* SPDX-License-Identifier: Apache-2.0 */
/* The verb of tenant_quota.h: one table of limits, whichever service keeps them. */
#include "client/tenant_quota.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"

enum keeper { REGISTRY, PROVISIONER, KEEPERS };

static const struct {
	const char *audience, *own, *all;
} keepers[] = {
	[REGISTRY] = { "registry-gw", "/v1/registry/quota", "/v1/registry/quotas" },
	[PROVISIONER] = { "provisioner", "/v1/quotas/self", "/v1/quotas" },
};

static const struct limit {
	const char *name;
	enum keeper keeper;
} limits[] = {
	{ "bytes", REGISTRY },
	{ "images", REGISTRY },
	{ "uploads", REGISTRY },
	{ "sandboxes", PROVISIONER },
	{ "vcpus", PROVISIONER },
	{ "memory_mib", PROVISIONER },
	{ "weight", PROVISIONER },
	{ "member_sandboxes", PROVISIONER },
	{ "member_weight", PROVISIONER },
	{ "lifetime_s", PROVISIONER },
};

/* --- what the keepers say --- */

static bool is_listed(const json_t *names, const char *name)
{
	const json_t *item;
	size_t i;

	json_array_foreach (names, i, item) {
		if (strcmp(json_string_value(item), name) == 0)
			return true;
	}
	return false;
}

/* The registry has an object of each limit; of the provisioner's, 0 is none. */
static json_t *read_limit(const struct limit *limit, const json_t *answer)
{
	const json_t *own = json_object_get(answer, limit->name);
	json_t *number;

	if (limit->keeper == REGISTRY)
		return json_pack("{s:s,s:O,s:O,s:O}", "name", limit->name, "limit",
			json_object_get(own, "limit"), "used", json_object_get(own, "used"),
			"by_operator", json_object_get(own, "by_operator"));
	number = json_object_get(json_object_get(answer, "limits"), limit->name);
	return json_pack("{s:s,s:O?,s:O?,s:b}", "name", limit->name, "limit",
		json_integer_value(number) > 0 ? number : NULL, "used",
		json_object_get(json_object_get(answer, "used"), limit->name), "by_operator",
		is_listed(json_object_get(answer, "by_operator"), limit->name));
}

static int get(struct session *session, enum keeper keeper, const char *tenant, json_t **ret_answer,
	struct err *err)
{
	auto_free char *path = tenant ? mem_printf("%s/%s", keepers[keeper].all, tenant)
				      : mem_strdup(keepers[keeper].own);
	struct api_call call = { .label = "quota",
		.audience = keepers[keeper].audience,
		.method = "GET",
		.path = path };

	return api_call(session->api, &call, ret_answer, NULL, err);
}

/* --- for people --- */

static void add_amount(struct buf *text, const struct limit *limit, const json_t *amount)
{
	static const char units[] = "KMGT";
	long long number = json_integer_value(amount);
	size_t unit = 0;
	struct err ignored = { 0 };

	if (strcmp(limit->name, "bytes") != 0 || number < 1024) {
		buf_printf(text, &ignored, "%lld", number);
		return;
	}
	for (; number >= 1024LL * 1024 && units[unit + 1]; unit++)
		number /= 1024;
	buf_printf(text, &ignored, "%.1f %ciB", (double)number / 1024, units[unit]);
}

static void add_line(struct buf *text, const struct limit *limit, const json_t *said)
{
	const json_t *most = json_object_get(said, "limit"), *used = json_object_get(said, "used");
	struct err ignored = { 0 };

	buf_printf(text, &ignored, "%s%-17s ", text->len > 0 ? "\n" : "", limit->name);
	if (json_is_integer(used)) {
		add_amount(text, limit, used);
		buf_printf(text, &ignored, " of ");
	}
	if (json_is_integer(most))
		add_amount(text, limit, most);
	else
		buf_printf(text, &ignored, "any");
	buf_printf(text, &ignored, "%s",
		json_is_true(json_object_get(said, "by_operator")) ? " (set by the operator)" : "");
}

static void show(const struct cli *cli, json_t *const answers[KEEPERS])
{
	auto_buf text = BUF_INIT(8192);
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		json_t *said = read_limit(&limits[i], answers[limits[i].keeper]);

		add_line(&text, &limits[i], said);
		json_array_append_new(list, said);
	}
	ui_result(cli->ui,
		json_pack("{s:O,s:o}", "tenant", json_object_get(answers[REGISTRY], "tenant"),
			"limits", list),
		"%s", (const char *)text.data);
}

/* --- --set --- */

/* "10g", or "default": then there is none of the tenant's own, *ret_number is -1. */
static int read_number(
	const struct limit *limit, const char *text, long long *ret_number, struct err *err)
{
	static const char units[] = "kmgt";
	const char *unit;
	long long number;
	char *end;

	*ret_number = -1;
	if (strcmp(text, "default") == 0)
		return 0;
	errno = 0;
	number = strtoll(text, &end, 10);
	unit = strcmp(limit->name, "bytes") == 0 && *end ? strchr(units, *end) : NULL;
	if (end == text || errno || number < 0 || (*end && (!unit || end[1] != '\0')))
		return err_set(err, ERR_INVALID, "usage.option",
			"%s is a number or 'default', not '%.40s'", limit->name, text);
	for (; unit && unit >= units; unit--) {
		if (number > LLONG_MAX / 1024)
			return err_set(
				err, ERR_INVALID, "usage.option", "'%.40s' is too large", text);
		number *= 1024;
	}
	*ret_number = number;
	return 0;
}

static const struct limit *find_limit(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		if (strcmp(limits[i].name, name) == 0)
			return &limits[i];
	}
	return NULL;
}

/* Numbers by name, null for 'default'. Each is looked at before any service is told. */
static int read_wishes(const json_t *texts, json_t **ret_wishes, struct err *err)
{
	auto_json json_t *wishes = json_object();
	const char *name;
	json_t *text;

	json_object_foreach ((json_t *)texts, name, text) {
		const struct limit *limit = find_limit(name);
		long long number;

		if (!limit)
			return err_set(err, ERR_INVALID, "usage.option",
				"there is no quota '%.40s'", name);
		if (read_number(limit, json_string_value(text), &number, err) < 0)
			return -1;
		json_object_set_new(wishes, name, number < 0 ? json_null() : json_integer(number));
	}
	*ret_wishes = take_ptr(wishes);
	return 0;
}

/* The whole of what a keeper shall have: what is wished, and what the operator set before. NULL:
 * nothing of it changes. */
static json_t *body_for(enum keeper keeper, const json_t *answer, const json_t *wishes)
{
	json_t *body = json_object();
	bool changes = false;

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		const struct limit *limit = &limits[i];
		json_t *wish = json_object_get(wishes, limit->name);
		auto_json json_t *said = NULL;

		if (limit->keeper != keeper)
			continue;
		said = read_limit(limit, answer);
		changes = changes || wish;
		if (json_is_integer(wish))
			json_object_set(body, limit->name, wish);
		else if (!wish && json_is_true(json_object_get(said, "by_operator")))
			json_object_set_new(body, limit->name,
				json_integer(json_integer_value(json_object_get(said, "limit"))));
	}
	if (!changes) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static int set(struct session *session, enum keeper keeper, const char *tenant,
	const json_t *wishes, json_t **answer, struct err *err)
{
	auto_json json_t *body = body_for(keeper, *answer, wishes), *after = NULL;
	auto_free char *path = mem_printf("%s/%s", keepers[keeper].all, tenant);
	const struct api_call call = {
		.audience = keepers[keeper].audience,
		.method = "PUT",
		.path = path,
		.body = body,
		.etag = json_text(*answer, "etag"),
	};

	if (!body)
		return 0;
	if (session_change(session, &call, &after, err) < 0)
		return -1;
	json_decref(*answer);
	*answer = take_ptr(after);
	return 0;
}

static int set_all(struct session *session, const struct cli *cli, const char *tenant,
	json_t *answers[KEEPERS], struct err *err)
{
	auto_json json_t *texts = NULL, *wishes = NULL;

	if (cli_map(cli, "set", &texts, err) < 0)
		return -1;
	if (texts && !tenant)
		return err_set(
			err, ERR_INVALID, "usage.arguments", "--set wants the tenant's name");
	if (read_wishes(texts, &wishes, err) < 0)
		return -1;
	for (size_t i = 0; i < KEEPERS; i++) {
		if (get(session, (enum keeper)i, tenant, &answers[i], err) < 0 ||
			set(session, (enum keeper)i, tenant, wishes, &answers[i], err) < 0)
			return -1;
	}
	return 0;
}

int tenant_quota(struct session *session, const struct cli *cli, struct err *err)
{
	const char *called = cli->n_arguments > 1 ? cli->arguments[1] : NULL;
	json_t *answers[KEEPERS] = { NULL };
	auto_json json_t *record = NULL;
	int done;

	if (called && session_find(session, &collection_tenants, called, &record, err) < 0)
		return -1;
	done = set_all(session, cli, json_text(record, "id"), answers, err);
	if (done == 0)
		show(cli, answers);
	for (size_t i = 0; i < KEEPERS; i++)
		json_decref(answers[i]);
	return done;
}
