/* SPDX-License-Identifier: Apache-2.0 */
/* One call, its repetitions, and a few connections that wait for the next. */
#include "services/provisioner/controller_client.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define FIRST_PAUSE_MS 200
#define LONGEST_PAUSE_MS 3000
#define MAX_ANSWER (64u << 10)
#define TOKEN_MAX 4096
#define IDLE 8

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct fetch *idle[IDLE]; /* of the one configuration that there is */

static struct fetch *take(const struct provisioner_conf *conf)
{
	const struct fetch_conf fetch = {
		.ca_file = *conf->controller_ca ? conf->controller_ca : NULL,
		.client_cert = *conf->controller_cert ? conf->controller_cert : NULL,
		.client_key = *conf->controller_key ? conf->controller_key : NULL,
		.user_agent = "strongroom-provisioner",
	};
	struct fetch *found = NULL;

	pthread_mutex_lock(&mutex);
	for (size_t i = 0; !found && i < IDLE; i++)
		found = take_ptr(idle[i]);
	pthread_mutex_unlock(&mutex);
	return found ? found : fetch_new(&fetch);
}

static void give_back(struct fetch *fetch)
{
	size_t i = 0;

	pthread_mutex_lock(&mutex);
	while (i < IDLE && idle[i])
		i++;
	if (i < IDLE)
		idle[i] = take_ptr(fetch);
	pthread_mutex_unlock(&mutex);
	fetch_free(fetch);
}

/* What fetch.h says, in our words. */
static int not_done(const struct err *why, struct err *err)
{
	if (strcmp(why->code, "upstream.unreachable") == 0)
		return err_set(
			err, ERR_UNAVAILABLE, "controller.unreachable", "%.200s", why->detail);
	if (strcmp(why->code, "upstream.timeout") == 0)
		return err_set(err, ERR_TIMEOUT, "controller.timeout", "%.200s", why->detail);
	if (strcmp(why->code, "upstream.tls") == 0)
		return err_set(err, ERR_UPSTREAM, "controller.tls", "%.200s", why->detail);
	if (strcmp(why->code, "upstream.truncated") == 0)
		return err_set(err, ERR_UPSTREAM, "controller.truncated", "%.200s", why->detail);
	if (strcmp(why->code, "upstream.too_large") == 0)
		return err_set(err, ERR_UPSTREAM, "controller.too_large", "%.200s", why->detail);
	return err_set(err, ERR_UPSTREAM, "controller.bad_answer", "%.200s", why->detail);
}

static int judge(long status, struct err *err)
{
	if ((status >= 200 && status < 300) || status == 404)
		return 0;
	if (status == 401 || status == 403)
		return err_set(err, ERR_UPSTREAM, "controller.denied",
			"the controller does not let us in: %ld", status);
	if (status == 409)
		return err_set(err, ERR_UPSTREAM, "controller.conflict",
			"the controller has other work with this machine");
	if (status == 429)
		return err_set(
			err, ERR_UNAVAILABLE, "controller.busy", "the controller asks for a pause");
	if (status >= 500)
		return err_set(err, ERR_UPSTREAM, "controller.failed",
			"the controller answered %ld", status);
	if (status >= 400)
		return err_set(err, ERR_UPSTREAM, "controller.refused",
			"the controller refuses with %ld", status);
	return err_set(
		err, ERR_UPSTREAM, "controller.bad_answer", "the controller answered %ld", status);
}

static bool may_pass(const struct err *err)
{
	static const char *const codes[] = { "controller.unreachable", "controller.timeout",
		"controller.truncated", "controller.failed", "controller.busy" };

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (strcmp(err->code, codes[i]) == 0)
			return true;
	}
	return false;
}

/* "Authorization: Bearer …" of the file's first line, read for each call: it may be another one
 * tomorrow. */
static int read_token(const char *path, char **ret_header, struct err *err)
{
	auto_buf text = BUF_INIT(TOKEN_MAX);
	size_t len;

	*ret_header = NULL;
	if (!*path)
		return 0;
	if (buf_read_file(&text, path, err) < 0 || buf_add(&text, "", 1, err) < 0)
		return -1;
	len = strcspn((const char *)text.data, "\r\n");
	*ret_header = mem_printf("Authorization: Bearer %.*s", (int)len, (const char *)text.data);
	explicit_bzero(text.data, text.len);
	return 0;
}

/* What was waited for by the other side's word, or ours with some chance in it. */
static long pause_of(const struct fetch_response *res, unsigned tried)
{
	auto_free char *wished = res->status ? fetch_header(res, "Retry-After") : NULL;
	long ms = FIRST_PAUSE_MS << (tried > 4 ? 4 : tried);
	unsigned char chance;

	rand_bytes(&chance, 1);
	ms += ms * chance / 512;
	if (wished && strtol(wished, NULL, 10) > 0)
		ms = strtol(wished, NULL, 10) > LONGEST_PAUSE_MS / 1000
			     ? LONGEST_PAUSE_MS
			     : strtol(wished, NULL, 10) * 1000;
	return ms < LONGEST_PAUSE_MS ? ms : LONGEST_PAUSE_MS;
}

long controller_client_patience_ms(const struct provisioner_conf *conf)
{
	return conf->controller_timeout_ms * 5 / 2;
}

/* The request as often as it takes. */
static int insist(const struct provisioner_conf *conf, struct fetch *fetch,
	struct fetch_request *req, bool once, struct fetch_response *ret_res, struct err *err)
{
	long long end_ms = clock_monotonic_ms() + controller_client_patience_ms(conf);

	for (unsigned tried = 0;; tried++) {
		long long left_ms = end_ms - clock_monotonic_ms();
		struct err why = { 0 }, judged = { 0 };
		long pause_ms;

		req->timeout_ms = left_ms < conf->controller_timeout_ms
					  ? (long)left_ms
					  : conf->controller_timeout_ms;
		*ret_res = (struct fetch_response) { 0 };
		if (fetch_do(fetch, req, ret_res, &why) < 0)
			not_done(&why, &judged);
		else if (judge(ret_res->status, &judged) == 0)
			return 0;
		pause_ms = pause_of(ret_res, tried);
		fetch_response_release(ret_res);
		if (once || !may_pass(&judged) ||
			end_ms - clock_monotonic_ms() < pause_ms + FIRST_PAUSE_MS) {
			if (err)
				*err = judged;
			return -1;
		}
		poll(NULL, 0, (int)pause_ms);
	}
}

static int send_call(const struct provisioner_conf *conf, const struct controller_call *call,
	struct fetch_request *req, char *token, struct fetch_response *ret_res, struct err *err)
{
	char *text = call->body ? json_dumps(call->body, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	char digest[DIGEST_TEXT_SIZE], key[DIGEST_TEXT_SIZE + 32];
	struct fetch *fetch = take(conf);
	const char *headers[5];
	size_t n = 0;
	int r;

	headers[n++] = "Accept: application/json, text/plain";
	if (token)
		headers[n++] = token;
	if (text) {
		req->body = text;
		req->body_len = strlen(text);
		digest_text(text, req->body_len, digest);
		snprintf(key, sizeof(key), "Idempotency-Key: %s", digest + strlen("sha256:"));
		headers[n++] = key;
		headers[n++] = "Content-Type: application/json";
	}
	headers[n] = NULL;
	req->headers = headers;
	r = insist(conf, fetch, req, call->once, ret_res, err);
	give_back(fetch);
	if (text)
		mem_wipe_free(text, strlen(text));
	return r;
}

bool controller_client_is_set(const struct provisioner_conf *conf)
{
	return *conf->controller_url;
}

int controller_client_do(const struct provisioner_conf *conf, const struct controller_call *call,
	struct fetch_response *ret_res, struct err *err)
{
	struct fetch_request req = { .method = call->method,
		.max_response = call->max_response ? call->max_response : MAX_ANSWER };
	auto_free char *url = NULL;
	const char *socket = NULL;
	char *token = NULL;
	int r;

	if (!controller_client_is_set(conf))
		return err_set(err, ERR_UNAVAILABLE, "controller.not_configured",
			"controller_url says of no controller");
	if (fetch_split_url(conf->controller_url, call->path, &url, &socket, err) < 0)
		return -1;
	if (strncmp(url, "https://", 8) != 0)
		return err_set(err, ERR_INTERNAL, "controller.not_https",
			"controller_url is no https:// address");
	if (read_token(conf->controller_token, &token, err) < 0)
		return -1;
	req.url = url;
	r = send_call(conf, call, &req, token, ret_res, err);
	if (token)
		mem_wipe_free(token, strlen(token));
	return r;
}
