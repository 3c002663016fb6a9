/* SPDX-License-Identifier: Apache-2.0 */
/* The edge on TCP with mutual TLS: only a peer with a certificate of the right CA, TLS 1.2 or
 * newer; what the edge and what services may ask for; and where it refuses to listen. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include "lib/buf.h"
#include "tests/unit/web_fixture.h"

#define BODY_BYTES 3000000u

static char folder[] = "/tmp/strongroom-tls-XXXXXX";
static const char *const names[] = { "server", "edge", "edge2", "peer", "stranger" };

static int large(struct web_req *req, struct web_res *res, struct err *err)
{
	char *text = arena_alloc(req->arena, BODY_BYTES);

	(void)err;
	memset(text, 'x', BODY_BYTES);
	res->text = text;
	res->text_len = BODY_BYTES;
	res->content_type = "text/plain";
	return 0;
}

static int file(struct web_req *req, struct web_res *res, struct err *err)
{
	FILE *temporary = tmpfile();

	(void)req;
	(void)err;
	fputs("from a file", temporary);
	fflush(temporary);
	res->file_fd = dup(fileno(temporary));
	fclose(temporary);
	res->file_len = 11;
	return 0;
}

static const struct web_route routes[] = {
	{ .method = "GET", .path = "/large", .handle = large },
	{ .method = "GET", .path = "/file", .handle = file },
	{ .method = "GET", .path = "/internal/v1/file", .handle = file },
	{ .method = "GET", .path = "/readyz", .handle = file },
	{ .method = NULL },
};

static const struct lane_conf lanes[] = { { .name = "db", .threads = 1, .queue = 16 },
	{ .name = NULL } };

/* A self-signed certificate is its own CA: <name>.crt and <name>.key in the folder. */
static void make_certificate(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	auto_free char *cert_path = mem_printf("%s/%s.crt", folder, name);
	auto_free char *key_path = mem_printf("%s/%s.key", folder, name);
	auto_file FILE *cert_file = fopen(cert_path, "we");
	auto_file FILE *key_file = fopen(key_path, "we");

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_set_pubkey(cert, key);
	X509_sign(cert, key, EVP_sha256());
	PEM_write_X509(cert_file, cert);
	PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* All but the stranger. */
static void trust_peers(void)
{
	static const char *const trusted[] = { "edge", "edge2", "peer" };
	auto_free char *path = mem_printf("%s/peers.pem", folder);
	struct buf all = BUF_INIT(65536);
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(trusted); i++) {
		auto_free char *cert = mem_printf("%s/%s.crt", folder, trusted[i]);

		CHECK(buf_read_file(&all, cert, &err) == 0);
	}
	CHECK(buf_write_file(path, all.data, all.len, 0600, &err) == 0);
	buf_release(&all);
}

static int tcp_open(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

/* Asks as `name` (NULL: without a certificate); returns the number of bytes of the answer. */
static size_t ask(int port, const char *name, int max_version, const char *path, char *ret_head)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	auto_free char *cert = mem_printf("%s/%s.crt", folder, name ? name : "");
	auto_free char *key = mem_printf("%s/%s.key", folder, name ? name : "");
	auto_free char *request =
		mem_printf("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
	int fd = tcp_open(port), got;
	size_t total = 0;
	SSL *tls;

	SSL_CTX_set_security_level(context, 0); /* the client would refuse old versions itself */
	SSL_CTX_set_max_proto_version(context, max_version);
	if (name) {
		SSL_CTX_use_certificate_chain_file(context, cert);
		SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM);
	}
	tls = SSL_new(context);
	SSL_set_fd(tls, fd);
	if (SSL_connect(tls) == 1 && SSL_write(tls, request, (int)strlen(request)) > 0) {
		char piece[16384];

		while ((got = SSL_read(tls, piece, sizeof(piece))) > 0) {
			if (total == 0)
				snprintf(ret_head, 16, "%.15s", piece);
			total += (size_t)got;
		}
	}
	ERR_clear_error();
	SSL_free(tls);
	SSL_CTX_free(context);
	close(fd);
	return total;
}

static struct web_server *new_server(void)
{
	struct err err;

	return web_server_new(&(const struct web_conf) { .routes = routes,
				      .lanes = lanes,
				      .limits = { .tick_ms = 20 },
				      .worker_new = fixture_worker_new,
				      .worker_free = fixture_worker_free },
		&err);
}

/* A free port: the kernel's choice, given back a moment before it is used. */
static int free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
	close(fd);
	return ntohs(address.sin_port);
}

static void test_peers(int port)
{
	char head[16] = "";

	CHECK(ask(port, "edge", TLS1_3_VERSION, "/large", head) > BODY_BYTES);
	CHECK_TEXT(head, "HTTP/1.1 200 OK");
	CHECK(ask(port, "edge", TLS1_2_VERSION, "/file", head) > 11);
	CHECK_NUMBER(ask(port, NULL, TLS1_3_VERSION, "/file", head), 0);
	CHECK_NUMBER(ask(port, "stranger", TLS1_3_VERSION, "/file", head), 0);
	CHECK_NUMBER(ask(port, "edge", TLS1_1_VERSION, "/file", head), 0);
}

/* Only the edge speaks for clients, and only services ask for what is internal. */
static void test_roles(int port)
{
	static const struct {
		const char *peer, *path, *answer;
	} cases[] = {
		{ "edge", "/file", "HTTP/1.1 200 OK" },
		{ "edge", "/internal/v1/file", "HTTP/1.1 403 Fo" },
		{ "edge", "/%69nternal/v1/file", "HTTP/1.1 403 Fo" },
		{ "edge", "/readyz", "HTTP/1.1 200 OK" },
		{ "edge2", "/file", "HTTP/1.1 403 Fo" },
		{ "peer", "/file", "HTTP/1.1 403 Fo" },
		{ "peer", "/nowhere", "HTTP/1.1 403 Fo" },
		{ "peer", "/internal/v1/file", "HTTP/1.1 200 OK" },
		{ "peer", "/readyz", "HTTP/1.1 200 OK" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char head[16] = "";

		CHECK(ask(port, cases[i].peer, TLS1_3_VERSION, cases[i].path, head) > 0);
		CHECK_TEXT(head, cases[i].answer);
	}
}

static void test_plain_bytes_on_tls(int port)
{
	int fd = tcp_open(port);
	auto_free char *answer = NULL;

	client_send(fd, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
	answer = client_read(fd, NULL);
	CHECK(!strstr(answer, "HTTP/1.1 200"));
	close(fd);
}

static void test_where_it_does_not_listen(void)
{
	auto_free char *path = mem_printf("%s/file", folder);
	auto_free char *address = mem_printf("unix:%s", path);
	struct web_server *server = new_server();
	struct err err;

	CHECK(buf_write_file(path, "kept", 4, 0600, &err) == 0);
	CHECK_FAILS(web_server_listen(server, "tcp:0.0.0.0:0", NULL, &err), &err, "web.listen");
	CHECK_FAILS(web_server_listen(server, "http://x", NULL, &err), &err, "web.listen");
	CHECK_FAILS(web_server_listen(server, address, NULL, &err), &err, "web.listen");
	CHECK(unlink(path) == 0);
	web_server_free(server);
}

static void test_unix_socket(void)
{
	auto_free char *path = mem_printf("%s/s.sock", folder);
	auto_free char *address = mem_printf("unix:%s", path);
	struct web_server *first = new_server(), *second = new_server();
	struct sockaddr_un stale = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat status;
	struct err err;

	snprintf(stale.sun_path, sizeof(stale.sun_path), "%s", path);
	CHECK(bind(fd, (struct sockaddr *)&stale, sizeof(stale)) == 0);
	close(fd);
	CHECK(web_server_listen(first, address, NULL, &err) == 0);
	CHECK(stat(path, &status) == 0 && (status.st_mode & 07777) == 0660);
	CHECK_FAILS(web_server_listen(second, address, NULL, &err), &err, "web.listen");
	web_server_free(second);
	CHECK(access(path, F_OK) == 0);
	web_server_free(first);
	CHECK(access(path, F_OK) != 0);
}

static void remove_folder(void)
{
	auto_free char *peers = mem_printf("%s/peers.pem", folder);

	unlink(peers);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		auto_free char *cert = mem_printf("%s/%s.crt", folder, names[i]);
		auto_free char *key = mem_printf("%s/%s.key", folder, names[i]);

		unlink(cert);
		unlink(key);
	}
	rmdir(folder);
}

int main(void)
{
	int port = free_port();
	auto_free char *address = mem_printf("tcp:127.0.0.1:%d", port);
	struct err err;

	CHECK(mkdtemp(folder) != NULL);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		make_certificate(names[i]);
	trust_peers();
	{
		auto_free char *cert = mem_printf("%s/server.crt", folder);
		auto_free char *key = mem_printf("%s/server.key", folder);
		auto_free char *peer_ca = mem_printf("%s/peers.pem", folder);
		const struct web_tls tls = { cert, key, peer_ca };

		log_open("test", LOG_LEVEL_ERROR);
		fixture_server = new_server();
		CHECK(web_server_listen(fixture_server, address, &tls, &err) == 0);
	}
	pthread_create(&fixture_thread, NULL, fixture_main, NULL);
	test_peers(port);
	test_roles(port);
	test_plain_bytes_on_tls(port);
	fixture_stop();
	test_where_it_does_not_listen();
	test_unix_socket();
	remove_folder();
	CHECK_DONE();
}
