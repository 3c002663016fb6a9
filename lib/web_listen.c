/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the edge listens: a unix socket 0660, or TCP with TLS 1.2 or newer where the peer shows
 * a certificate of the configured CA. Plain TCP is for loopback only, as is the listener for
 * programs of this host.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/http_conn.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/web_inner.h"

#define BACKLOG 1024

static const char busy_text[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
				"Content-Length: 0\r\nConnection: close\r\n\r\n";

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer,
	int len, void *arg)
{
	struct web_server *server = arg;
	bool is_local = listener == server->local_listener;
	SSL_CTX *tls = is_local ? NULL : server->tls;
	struct bufferevent *bev;
	int one = 1;

	(void)len;
	if (server->n_conns >= server->conf.limits.max_connections &&
		!http_conn_make_room(server)) {
		if (!tls)
			(void)!send(
				fd, busy_text, sizeof(busy_text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		close(fd);
		return;
	}
	if (peer->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (tls)
		bev = bufferevent_openssl_socket_new(server->base, fd, SSL_new(tls),
			BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	else
		bev = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!bev)
		abort();
	if (tls)
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	http_conn_new(server, bev, tls != NULL, is_local);
}

/* Out of descriptors, usually: the tick enables the listener again. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	(void)arg;
	log_warn("cannot accept a connection", "reason", strerror(errno), NULL);
	evconnlistener_disable(listener);
}

static struct evconnlistener *listen_on(struct web_server *server, int fd, struct err *err)
{
	struct evconnlistener *listener = evconnlistener_new(server->base, on_accept, server,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);

	if (!listener) {
		err_errno(err, "listen");
		close(fd);
		return NULL;
	}
	evconnlistener_set_error_cb(listener, on_accept_error);
	return listener;
}

/* A socket file that nobody listens on is left over from a crash. */
static int clear_path(const struct sockaddr_un *address, struct err *err)
{
	auto_fd int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat status;

	if (lstat(address->sun_path, &status) < 0)
		return 0;
	if (!S_ISSOCK(status.st_mode))
		return err_set(
			err, ERR_INTERNAL, "web.listen", "'%s' is no socket", address->sun_path);
	if (probe < 0)
		return err_errno(err, "make a socket");
	if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return err_set(err, ERR_INTERNAL, "web.listen", "somebody listens on '%s' already",
			address->sun_path);
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return err_errno(err, "remove '%s'", address->sun_path);
	return 0;
}

struct evconnlistener *web_listen_unix(struct web_server *server, const char *path, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stat status;

	if (strlen(path) >= sizeof(address.sun_path)) {
		err_set(err, ERR_INTERNAL, "web.listen", "the path '%s' is too long", path);
		return NULL;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (clear_path(&address, err) < 0)
		return NULL;
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		chmod(path, 0660) < 0 || stat(path, &status) < 0) {
		err_errno(err, "bind '%s'", path);
		return NULL;
	}
	server->socket_path = mem_strdup(path);
	server->socket_inode = status.st_ino;
	return listen_on(server, take_fd(fd), err);
}

void web_listen_remove(struct web_server *server)
{
	struct stat status;

	if (server->socket_path && stat(server->socket_path, &status) == 0 &&
		status.st_ino == server->socket_inode)
		unlink(server->socket_path);
	free(take_ptr(server->socket_path));
}

static int tls_failed(struct err *err, const char *what)
{
	char reason[128];

	ERR_error_string_n(ERR_get_error(), reason, sizeof(reason));
	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "web.tls", "%s: %s", what, reason);
}

static int tls_load(SSL_CTX *tls, const struct web_tls *files, struct err *err)
{
	if (SSL_CTX_use_certificate_chain_file(tls, files->cert) != 1)
		return tls_failed(err, "the certificate");
	if (SSL_CTX_use_PrivateKey_file(tls, files->key, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_check_private_key(tls) != 1)
		return tls_failed(err, "the key");
	if (SSL_CTX_load_verify_locations(tls, files->peer_ca, NULL) != 1)
		return tls_failed(err, "the peers' CA");
	return 0;
}

static int tls_open(struct web_server *server, const struct web_tls *files, struct err *err)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	if (!tls)
		return tls_failed(err, "TLS");
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_options(tls,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_session_id_context(tls, (const unsigned char *)"strongroom", 10);
	if (tls_load(tls, files, err) < 0) {
		SSL_CTX_free(tls);
		return -1;
	}
	server->tls = tls;
	return 0;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

struct evconnlistener *web_listen_tcp(struct web_server *server, const char *host_port,
	const struct web_tls *tls, struct err *err)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	int len = sizeof(address), one = 1;
	auto_fd int fd = -1;

	if (evutil_parse_sockaddr_port(host_port, (struct sockaddr *)&address, &len) < 0) {
		err_set(err, ERR_INTERNAL, "web.listen", "'%s' is no numeric address:port",
			host_port);
		return NULL;
	}
	if (tls && tls->cert && *tls->cert) {
		if (tls_open(server, tls, err) < 0)
			return NULL;
	} else if (!is_loopback(&address)) {
		err_set(err, ERR_INTERNAL, "web.listen",
			"TCP beyond loopback needs tls_cert, tls_key and tls_peer_ca");
		return NULL;
	}
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		bind(fd, (struct sockaddr *)&address, (socklen_t)len) < 0) {
		err_errno(err, "bind '%s'", host_port);
		return NULL;
	}
	return listen_on(server, take_fd(fd), err);
}

void web_listen_release(struct web_server *server)
{
	SSL_CTX_free(take_ptr(server->tls));
}
