/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h on libcurl's easy interface. The handle is reset before each request, which keeps its
 * connections; whatever libcurl would take from its surroundings (proxies, redirects, other
 * schemes) is switched off.
 */
#include "lib/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/fetch_inner.h"
#include "lib/mem.h"

#define DEFAULT_CONNECT_TIMEOUT_MS 5000L
#define DEFAULT_TIMEOUT_MS 30000L
#define DEFAULT_MAX_RESPONSE (4u << 20)
#define MAX_HEADER_BYTES (64u << 10)
#define STALL_SECONDS 60L

/* One request under way; `failure` is set by a callback that stops it. */
struct exchange {
	CURL *curl;
	const struct fetch_request *req;
	struct fetch_response res;
	long long body_sent;
	struct err failure;
};

static const struct {
	CURLcode result;
	enum err_kind kind;
	const char *code;
} failures[] = {
	{ CURLE_COULDNT_RESOLVE_HOST, ERR_UNAVAILABLE, "upstream.unreachable" },
	{ CURLE_COULDNT_CONNECT, ERR_UNAVAILABLE, "upstream.unreachable" },
	{ CURLE_SEND_ERROR, ERR_UNAVAILABLE, "upstream.unreachable" },
	{ CURLE_RECV_ERROR, ERR_UNAVAILABLE, "upstream.unreachable" },
	{ CURLE_GOT_NOTHING, ERR_UNAVAILABLE, "upstream.unreachable" },
	{ CURLE_OPERATION_TIMEDOUT, ERR_TIMEOUT, "upstream.timeout" },
	{ CURLE_PARTIAL_FILE, ERR_UPSTREAM, "upstream.truncated" },
	{ CURLE_SSL_CONNECT_ERROR, ERR_UPSTREAM, "upstream.tls" },
	{ CURLE_PEER_FAILED_VERIFICATION, ERR_UPSTREAM, "upstream.tls" },
	{ CURLE_SSL_CERTPROBLEM, ERR_UPSTREAM, "upstream.tls" },
	{ CURLE_SSL_CACERT_BADFILE, ERR_UPSTREAM, "upstream.tls" },
	{ CURLE_SSL_CIPHER, ERR_UPSTREAM, "upstream.tls" },
	{ CURLE_SSL_CLIENTCERT, ERR_UPSTREAM, "upstream.tls" },
	{ CURLE_SSL_ISSUER_ERROR, ERR_UPSTREAM, "upstream.tls" },
	{ CURLE_URL_MALFORMAT, ERR_INTERNAL, "fetch.bad_url" },
	{ CURLE_LOGIN_DENIED, ERR_INTERNAL, "fetch.bad_url" },
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
}

static char *copy(const char *text)
{
	return text && *text ? mem_strdup(text) : NULL;
}

struct fetch *fetch_new(const struct fetch_conf *conf)
{
	struct fetch *fetch = mem_alloc(sizeof(*fetch));

	pthread_once(&library_once, library_init);
	fetch->curl = curl_easy_init();
	if (!fetch->curl)
		abort();
	fetch->ca_file = copy(conf->ca_file);
	fetch->ca_pem = copy(conf->ca_pem);
	fetch->ca_spki = copy(conf->ca_spki);
	fetch->client_cert = copy(conf->client_cert);
	fetch->client_key = copy(conf->client_key);
	fetch->tls13_ciphers = copy(conf->tls13_ciphers);
	fetch->user_agent = copy(conf->user_agent);
	fetch->connect_timeout_ms =
		conf->connect_timeout_ms ? conf->connect_timeout_ms : DEFAULT_CONNECT_TIMEOUT_MS;
	fetch->pin = (struct fetch_pin) { fetch->ca_spki, fetch->ca_file || fetch->ca_pem };
	return fetch;
}

void fetch_free(struct fetch *fetch)
{
	if (!fetch)
		return;
	curl_easy_cleanup(fetch->curl);
	free(fetch->ca_file);
	free(fetch->ca_pem);
	free(fetch->ca_spki);
	free(fetch->client_cert);
	free(fetch->client_key);
	free(fetch->tls13_ciphers);
	free(fetch->user_agent);
	free(fetch);
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
	struct exchange *exchange = arg;
	size_t len = size * count;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) /* the answer behind a 100 Continue */
		exchange->res.headers.len = 0;
	return buf_add(&exchange->res.headers, line, len, &exchange->failure) < 0 ? 0 : len;
}

/* A refusal's body is buffered even when a sink waits for the real one. */
static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct exchange *exchange = arg;
	size_t len = size * count;
	long status = 0;

	curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
	if (exchange->req->sink && status >= 200 && status < 300) {
		if (exchange->req->sink(exchange->req->sink_arg, data, len, &exchange->failure) < 0)
			return 0;
		return len;
	}
	if (buf_add(&exchange->res.body, data, len, NULL) < 0) {
		err_set(&exchange->failure, ERR_UPSTREAM, "upstream.too_large",
			"the answer has more than %zu bytes", exchange->res.body.max);
		return 0;
	}
	return len;
}

static long long read_file(struct exchange *exchange, char *data, size_t want)
{
	const struct fetch_request *req = exchange->req;
	long long left = (long long)req->body_len - exchange->body_sent;
	ssize_t got;

	if ((long long)want > left)
		want = (size_t)left;
	do
		got = pread(req->body_fd, data, want, req->body_offset + exchange->body_sent);
	while (got < 0 && errno == EINTR);
	if (got > 0 || (got == 0 && want == 0))
		return got;
	return err_set(&exchange->failure, ERR_INTERNAL, "internal.system",
		"read the body to send: %s", got < 0 ? strerror(errno) : "file too short");
}

static size_t on_read(char *data, size_t size, size_t count, void *arg)
{
	struct exchange *exchange = arg;
	const struct fetch_request *req = exchange->req;
	long long got =
		req->source ? req->source(req->source_arg, data, size * count, &exchange->failure)
			    : read_file(exchange, data, size * count);

	if (got < 0)
		return CURL_READFUNC_ABORT;
	exchange->body_sent += got;
	return (size_t)got;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct exchange *exchange = arg;

	if (origin != SEEK_SET || exchange->req->source)
		return CURL_SEEKFUNC_CANTSEEK;
	exchange->body_sent = offset;
	return CURL_SEEKFUNC_OK;
}

static int on_progress(
	void *arg, curl_off_t to_get, curl_off_t got, curl_off_t to_send, curl_off_t sent)
{
	const struct fetch_request *req = ((struct exchange *)arg)->req;

	if (req->body_fd || req->body_len)
		req->progress(req->progress_arg, sent, to_send);
	else
		req->progress(req->progress_arg, got, to_get);
	return 0;
}

static CURLcode on_ssl_ctx(CURL *curl, void *ssl_ctx, void *arg)
{
	(void)curl;
	fetch_pin_install(ssl_ctx, arg);
	return CURLE_OK;
}

static void set_roots(const struct fetch *fetch, CURL *curl)
{
	struct curl_blob pem = { .data = fetch->ca_pem, .flags = CURL_BLOB_COPY };

	if (!fetch->ca_file && !fetch->ca_spki && !fetch->ca_pem)
		return;
	curl_easy_setopt(curl, CURLOPT_CAINFO, fetch->ca_file);
	curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	if (fetch->ca_pem) {
		pem.len = strlen(fetch->ca_pem);
		curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &pem);
	}
}

static void set_tls(const struct fetch *fetch, CURL *curl)
{
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	set_roots(fetch, curl);
	if (fetch->ca_spki) {
		curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
		curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, &fetch->pin);
	}
	if (fetch->client_cert) {
		curl_easy_setopt(curl, CURLOPT_SSLCERT, fetch->client_cert);
		curl_easy_setopt(curl, CURLOPT_SSLKEY, fetch->client_key);
	}
	if (fetch->tls13_ciphers)
		curl_easy_setopt(curl, CURLOPT_TLS13_CIPHERS, fetch->tls13_ciphers);
}

static void set_limits(const struct fetch *fetch, CURL *curl, long timeout_ms)
{
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, fetch->connect_timeout_ms);
	if (timeout_ms < 0) {
		curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
	} else {
		curl_easy_setopt(
			curl, CURLOPT_TIMEOUT_MS, timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS);
	}
}

static void set_surroundings(const struct fetch *fetch, CURL *curl)
{
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	if (fetch->user_agent)
		curl_easy_setopt(curl, CURLOPT_USERAGENT, fetch->user_agent);
}

void fetch_prepare(const struct fetch *fetch, CURL *curl, long timeout_ms)
{
	curl_easy_reset(curl);
	set_surroundings(fetch, curl);
	set_tls(fetch, curl);
	set_limits(fetch, curl, timeout_ms);
}

static bool takes_body(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
	       strcmp(method, "PATCH") == 0;
}

static void set_body(CURL *curl, struct exchange *exchange)
{
	const struct fetch_request *req = exchange->req;

	if (strcmp(req->method, "HEAD") == 0) {
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
		return;
	}
	if (req->body_fd || req->source) {
		curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
			req->source ? (curl_off_t)-1 : (curl_off_t)req->body_len);
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(curl, CURLOPT_READDATA, exchange);
		curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(curl, CURLOPT_SEEKDATA, exchange);
	} else if (req->body || takes_body(req->method)) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
			(curl_off_t)(req->body ? req->body_len : 0));
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, req->body ? req->body : "");
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, req->method);
}

static void set_callbacks(CURL *curl, struct exchange *exchange)
{
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
	if (exchange->req->progress) {
		curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
		curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
	}
}

static struct curl_slist *append(struct curl_slist *list, const char *header)
{
	list = curl_slist_append(list, header);
	if (!list)
		abort();
	return list;
}

/* The caller's headers; what libcurl would add by itself is switched off by an empty one. */
static int headers_of(
	const struct fetch_request *req, struct curl_slist **ret_list, struct err *err)
{
	struct curl_slist *list = append(NULL, "Expect:");
	bool has_type = false;

	for (const char *const *header = req->headers; header && *header; header++) {
		if (strpbrk(*header, "\r\n")) {
			curl_slist_free_all(list);
			return err_set(err, ERR_INVALID, "fetch.bad_header",
				"a header contains a line break");
		}
		has_type |= strncasecmp(*header, "Content-Type:", 13) == 0;
		list = append(list, *header);
	}
	*ret_list = has_type ? list : append(list, "Content-Type:");
	return 0;
}

static int set_url(CURL *curl, const struct fetch_request *req, struct err *err)
{
	auto_free char *local = NULL;

	if (!req->unix_socket) {
		if (strncmp(req->url, "https://", 8) != 0 && strncmp(req->url, "http://", 7) != 0)
			return err_set(err, ERR_INTERNAL, "fetch.bad_url", "not an http(s) URL");
		curl_easy_setopt(curl, CURLOPT_URL, req->url);
		return 0;
	}
	if (req->url[0] != '/')
		return err_set(err, ERR_INTERNAL, "fetch.bad_url",
			"a unix socket needs a path that starts with '/'");
	local = mem_printf("http://localhost%s", req->url);
	curl_easy_setopt(curl, CURLOPT_URL, local);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, req->unix_socket);
	return 0;
}

int fetch_failed(CURLcode result, const char *text, struct err *err)
{
	if (!*text)
		text = curl_easy_strerror(result);
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		if (failures[i].result == result)
			return err_set(err, failures[i].kind, failures[i].code, "%s", text);
	}
	return err_set(err, ERR_UPSTREAM, "upstream.protocol", "%s", text);
}

/* Whether the other side does not take our certificate: TLS 1.3 says so behind the handshake. */
static bool is_refused(CURLcode result, const char *text)
{
	return (result == CURLE_RECV_ERROR || result == CURLE_SEND_ERROR) &&
	       strstr(text, " alert ");
}

/* Whether the handshake was broken off, as by a server that is killed, and not refused. */
static bool is_cut(CURL *curl, CURLcode result, const char *text)
{
	long os_errno = 0;

	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_errno);
	return result == CURLE_SSL_CONNECT_ERROR && (os_errno || strstr(text, "SSL_ERROR_SYSCALL"));
}

static int perform(struct fetch *fetch, struct exchange *exchange, struct err *err)
{
	const char *resolved = exchange->req->resolved;
	char text[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL, *hosts = NULL;
	CURLcode result;

	if (set_url(fetch->curl, exchange->req, err) < 0 ||
		headers_of(exchange->req, &headers, err) < 0)
		return -1;
	curl_easy_setopt(fetch->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(fetch->curl, CURLOPT_ERRORBUFFER, text);
	hosts = resolved ? append(NULL, resolved) : NULL;
	curl_easy_setopt(fetch->curl, CURLOPT_RESOLVE, hosts);
	result = curl_easy_perform(fetch->curl);
	if (is_cut(fetch->curl, result, text))
		result = CURLE_GOT_NOTHING;
	else if (is_refused(result, text))
		result = CURLE_SSL_CLIENTCERT;
	curl_easy_getinfo(fetch->curl, CURLINFO_RESPONSE_CODE, &exchange->res.status);
	curl_easy_reset(fetch->curl); /* forgets `text`, `headers` and `exchange` */
	curl_slist_free_all(headers);
	curl_slist_free_all(hosts);
	if (exchange->failure.kind == ERR_NONE)
		return result == CURLE_OK ? 0 : fetch_failed(result, text, err);
	if (err)
		*err = exchange->failure;
	return -1;
}

int fetch_do(struct fetch *fetch, const struct fetch_request *req, struct fetch_response *ret_res,
	struct err *err)
{
	struct exchange exchange = { .curl = fetch->curl, .req = req };

	exchange.res.body.max = req->max_response ? req->max_response : DEFAULT_MAX_RESPONSE;
	exchange.res.headers.max = MAX_HEADER_BYTES;
	fetch_prepare(fetch, fetch->curl, req->timeout_ms);
	if (req->abstract_socket)
		curl_easy_setopt(fetch->curl, CURLOPT_ABSTRACT_UNIX_SOCKET, req->abstract_socket);
	set_body(fetch->curl, &exchange);
	set_callbacks(fetch->curl, &exchange);
	if (perform(fetch, &exchange, err) < 0) {
		fetch_response_release(&exchange.res);
		return -1;
	}
	*ret_res = exchange.res;
	return 0;
}

char *fetch_header(const struct fetch_response *res, const char *name)
{
	return fetch_header_at(res, name, 0);
}

char *fetch_header_at(const struct fetch_response *res, const char *name, size_t n)
{
	const char *line = (const char *)res->headers.data;
	size_t len = strlen(name);

	while (line && *line) {
		if (strncasecmp(line, name, len) == 0 && line[len] == ':' && n-- == 0) {
			line += len + 1;
			line += strspn(line, " \t");
			return mem_strndup(line, strcspn(line, "\r\n"));
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return NULL;
}

void fetch_response_release(struct fetch_response *res)
{
	buf_wipe(&res->body);
	buf_wipe(&res->headers);
}
