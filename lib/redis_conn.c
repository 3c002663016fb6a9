/* SPDX-License-Identifier: Apache-2.0 */
/* redis_conn.h: transport, login, Sentinels. */
#include "lib/redis_conn.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/mem.h"
#include "lib/redis_address.h"

#define LOCAL_LIMIT_MS 100
#define REMOTE_LIMIT_MS 500
#define MAX_OUT_BYTES (1u << 20)
#define PASSWORD_MAX 1024u
#define READ_BYTES 16384 /* a TLS record's most: nothing stays behind in OpenSSL */

struct redis_conn {
	int fd;
	SSL *tls; /* or NULL */
	redisReader *reader;
	struct buf out;
};

#define auto_reply __attribute__((cleanup(reply_cleanup))) redisReply
#define auto_address __attribute__((cleanup(redis_address_release))) struct redis_address

static void reply_cleanup(redisReply **reply)
{
	if (*reply)
		freeReplyObject(*reply);
}

/* --- bytes --- */

static bool write_all(struct redis_conn *conn, const unsigned char *data, size_t len)
{
	while (len > 0) {
		ssize_t sent = conn->tls ? SSL_write(conn->tls, data, (int)len)
					 : send(conn->fd, data, len, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		data += sent;
		len -= (size_t)sent;
	}
	return true;
}

/* At least a byte, waiting for it within the limit. */
bool redis_conn_read(struct redis_conn *conn)
{
	char piece[READ_BYTES];
	ssize_t got = conn->tls ? SSL_read(conn->tls, piece, sizeof(piece))
				: recv(conn->fd, piece, sizeof(piece), 0);

	ERR_clear_error();
	return got > 0 && redisReaderFeed(conn->reader, piece, (size_t)got) == REDIS_OK;
}

bool redis_conn_add(struct redis_conn *conn, int argc, const char *const *argv)
{
	char *text = NULL;
	int len = redisFormatCommandArgv(&text, argc, (const char **)argv, NULL);
	bool ok = len > 0 && buf_add(&conn->out, text, (size_t)len, NULL) == 0;

	if (len > 0)
		explicit_bzero(text, (size_t)len);
	redisFreeCommand(text);
	return ok;
}

bool redis_conn_send(struct redis_conn *conn)
{
	bool ok = write_all(conn, conn->out.data, conn->out.len);

	buf_wipe(&conn->out);
	ERR_clear_error();
	return ok;
}

bool redis_conn_next(struct redis_conn *conn, redisReply **ret_reply)
{
	return redisReaderGetReply(conn->reader, (void **)ret_reply) == REDIS_OK;
}

bool redis_conn_take(struct redis_conn *conn, redisReply **ret_reply)
{
	*ret_reply = NULL;
	while (redis_conn_next(conn, ret_reply)) {
		if (*ret_reply)
			return true;
		if (!redis_conn_read(conn))
			break;
	}
	return false;
}

int redis_conn_fd(const struct redis_conn *conn)
{
	return conn->fd;
}

void redis_conn_free(struct redis_conn *conn)
{
	if (!conn)
		return;
	SSL_free(conn->tls);
	if (conn->fd >= 0)
		close(conn->fd);
	if (conn->reader)
		redisReaderFree(conn->reader);
	buf_wipe(&conn->out);
	free(conn);
}

/* --- the way there --- */

static bool connect_fd(int fd, const struct sockaddr *address, socklen_t len, int limit_ms)
{
	const struct timeval limit = { .tv_usec = limit_ms * 1000 }; /* of connect(2), too */
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
		connect(fd, address, len) < 0)
		return false;
	if (address->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return true;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (!connect_fd(fd, (struct sockaddr *)&address, sizeof(address), LOCAL_LIMIT_MS))
		return -1;
	return take_fd(fd);
}

static int connect_host(const struct redis_host *host)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int made = -1;

	if (getaddrinfo(host->name, host->port, &hints, &found) != 0)
		return -1;
	for (const struct addrinfo *at = found; at && made < 0; at = at->ai_next) {
		auto_fd int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect_fd(fd, at->ai_addr, at->ai_addrlen, REMOTE_LIMIT_MS))
			made = take_fd(fd);
	}
	freeaddrinfo(found);
	return made;
}

static SSL_CTX *tls_context(const struct redis_conf *conf)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	bool ok = context && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1;

	if (ok && *conf->ca_file)
		ok = SSL_CTX_load_verify_locations(context, conf->ca_file, NULL) == 1;
	else if (ok)
		ok = SSL_CTX_set_default_verify_paths(context) == 1;
	if (ok && *conf->cert)
		ok = SSL_CTX_use_certificate_chain_file(context, conf->cert) == 1 &&
		     SSL_CTX_use_PrivateKey_file(context, conf->key, SSL_FILETYPE_PEM) == 1;
	if (ok) {
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
		return context;
	}
	SSL_CTX_free(context);
	return NULL;
}

/* Addresses are compared with the certificate's, names with its names. */
static bool expect_host(SSL *tls, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(tls);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
		return true;
	return SSL_set1_host(tls, name) == 1 && SSL_set_tlsext_host_name(tls, name) == 1;
}

static bool start_tls(struct redis_conn *conn, const struct redis_conf *conf, const char *host)
{
	SSL_CTX *context = tls_context(conf);
	bool ok;

	conn->tls = context ? SSL_new(context) : NULL;
	SSL_CTX_free(context); /* the connection holds it */
	ok = conn->tls && expect_host(conn->tls, host) && SSL_set_fd(conn->tls, conn->fd) == 1 &&
	     SSL_connect(conn->tls) == 1;
	ERR_clear_error();
	return ok;
}

/* --- commands --- */

/* One command, and its answer if that is no error. */
static int ask(struct redis_conn *conn, int argc, const char *const *argv, redisReply **ret_reply,
	struct err *err)
{
	redisReply *reply = NULL;

	if (!redis_conn_add(conn, argc, argv) || !redis_conn_send(conn) ||
		!redis_conn_take(conn, &reply))
		return err_set(
			err, ERR_UNAVAILABLE, "redis.unreachable", "no answer to %s", argv[0]);
	if (reply->type == REDIS_REPLY_ERROR) {
		err_set(err, ERR_UNAVAILABLE, "redis.refused", "%s: %s", argv[0], reply->str);
		freeReplyObject(reply);
		return -1;
	}
	*ret_reply = reply;
	return 0;
}

static int log_in(struct redis_conn *conn, const struct redis_conf *conf, struct err *err)
{
	struct buf password = BUF_INIT(PASSWORD_MAX);
	const char *words[] = { "AUTH", *conf->user ? conf->user : "default", NULL };
	auto_reply *reply = NULL;
	int rc = 0;

	if (!*conf->password_file)
		return 0;
	if (buf_read_file(&password, conf->password_file, err) < 0)
		return -1;
	if (password.data) {
		password.data[strcspn((char *)password.data, "\r\n")] = '\0';
		words[2] = (char *)password.data;
	}
	rc = words[2] && *words[2]
		     ? ask(conn, 3, words, &reply, err)
		     : err_set(err, ERR_UNAVAILABLE, "redis.refused", "the password file is empty");
	buf_wipe(&password);
	return rc;
}

static struct redis_conn *connect_to(const struct redis_conf *conf,
	const struct redis_address *address, const struct redis_host *host, struct err *err)
{
	struct redis_conn *conn = mem_alloc(sizeof(*conn));
	const char *name = address->path ? address->path : host->name;

	conn->out.max = MAX_OUT_BYTES;
	conn->reader = redisReaderCreate();
	conn->fd = address->path ? connect_unix(address->path) : connect_host(host);
	if (!conn->reader || conn->fd < 0)
		err_set(err, ERR_UNAVAILABLE, "redis.unreachable", "'%s' is not reachable", name);
	else if (address->tls && !start_tls(conn, conf, name))
		err_set(err, ERR_UNAVAILABLE, "redis.unreachable", "no TLS with '%s': %s", name,
			conn->tls ? X509_verify_cert_error_string(SSL_get_verify_result(conn->tls))
				  : "a file of ours cannot be used");
	else if (log_in(conn, conf, err) == 0)
		return conn;
	redis_conn_free(conn);
	return NULL;
}

/* --- Sentinels --- */

static bool is_text(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_STRING;
}

static bool is_pair(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
	       is_text(reply->element[0]) && is_text(reply->element[1]);
}

/* Who is master now, as one Sentinel sees it. */
static int ask_sentinel(const struct redis_conf *conf, const struct redis_address *address,
	const struct redis_host *sentinel, struct redis_host *ret_master, struct err *err)
{
	const char *const words[] = { "SENTINEL", "get-master-addr-by-name", address->master };
	struct redis_conn *conn = connect_to(conf, address, sentinel, err);
	auto_reply *reply = NULL;
	int rc = conn ? ask(conn, 3, words, &reply, err) : -1;

	redis_conn_free(conn);
	if (rc < 0)
		return -1;
	if (!is_pair(reply) || reply->element[1]->len >= sizeof(ret_master->port))
		return err_set(err, ERR_UNAVAILABLE, "redis.no_master",
			"the Sentinel '%s' knows no master '%s'", sentinel->name, address->master);
	ret_master->name = mem_strdup(reply->element[0]->str);
	memcpy(ret_master->port, reply->element[1]->str, reply->element[1]->len + 1);
	return 0;
}

/* A master that was put down says so; what is written there is lost. */
static bool is_master(struct redis_conn *conn, struct err *err)
{
	static const char *const words[] = { "ROLE" };
	auto_reply *reply = NULL;

	if (ask(conn, 1, words, &reply, err) < 0)
		return false;
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 && is_text(reply->element[0]) &&
		strcmp(reply->element[0]->str, "master") == 0)
		return true;
	err_set(err, ERR_UNAVAILABLE, "redis.no_master", "who is named as master is none");
	return false;
}

static struct redis_conn *open_master(
	const struct redis_conf *conf, const struct redis_address *address, struct err *err)
{
	for (size_t i = 0; i < address->n_hosts; i++) {
		struct redis_host master = { .name = NULL };
		struct redis_conn *conn = NULL;

		if (ask_sentinel(conf, address, &address->hosts[i], &master, err) == 0)
			conn = connect_to(conf, address, &master, err);
		free(master.name);
		if (conn && is_master(conn, err))
			return conn;
		redis_conn_free(conn);
	}
	return NULL;
}

struct redis_conn *redis_conn_open(const struct redis_conf *conf, struct err *err)
{
	auto_address address = { .path = NULL };

	if (redis_address_parse(conf->address, &address, err) < 0)
		return NULL;
	if (address.master)
		return open_master(conf, &address, err);
	return connect_to(conf, &address, &address.hosts[0], err);
}
