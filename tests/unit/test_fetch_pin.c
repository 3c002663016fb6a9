/* SPDX-License-Identifier: Apache-2.0 */
/* The pinned CA key against real TLS handshakes with a server that the test forks: which chains
 * pass, and why. */
#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cert.h"
#include "lib/fetch.h"
#include "lib/jose.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

struct authority {
	EVP_PKEY *key;
	X509 *cert;
	char spki[DIGEST_TEXT_SIZE];
};

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
}

/* A certificate for `key`, signed by `issuer` (NULL: itself). */
static X509 *issue(
	EVP_PKEY *key, const char *name, const struct authority *issuer, const char *san, long days)
{
	static long serial = 1;
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert), -2 * 86400);
	X509_gmtime_adj(X509_getm_notAfter(cert), days * 86400);
	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer->cert) : subject);
	X509_set_pubkey(cert, key);
	add_extension(cert, NID_basic_constraints, san ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (san)
		add_extension(cert, NID_subject_alt_name, san);
	X509_sign(cert, issuer ? issuer->key : key, EVP_sha256());
	return cert;
}

static void authority_init(struct authority *authority, const char *name)
{
	CHECK_NUMBER(cert_key_new(&authority->key, NULL), 0);
	authority->cert = issue(authority->key, name, NULL, NULL, 30);
	CHECK_NUMBER(cert_spki(authority->key, authority->spki, NULL), 0);
}

static void authority_release(struct authority *authority)
{
	X509_free(authority->cert);
	EVP_PKEY_free(authority->key);
}

/* --- the server --- */

static void serve(SSL_CTX *ctx, int listener)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	char request[4096];

	for (;;) {
		auto_fd int fd = accept(listener, NULL, NULL);
		SSL *ssl = SSL_new(ctx);

		SSL_set_fd(ssl, fd);
		if (SSL_accept(ssl) == 1 && SSL_read(ssl, request, sizeof(request)) > 0)
			SSL_write(ssl, answer, sizeof(answer) - 1);
		SSL_free(ssl);
	}
}

/* Serves `leaf` with `sent` behind it in the chain (NULL: nothing); *ret_port on loopback. */
static pid_t start_server(EVP_PKEY *key, X509 *leaf, X509 *sent, int *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(address);
	SSL_CTX *ctx;
	pid_t pid;

	if (bind(listener, (struct sockaddr *)&address, len) < 0 || listen(listener, 8) < 0 ||
		getsockname(listener, (struct sockaddr *)&address, &len) < 0)
		abort();
	*ret_port = ntohs(address.sin_port);
	pid = fork();
	if (pid == 0) {
		signal(SIGPIPE, SIG_IGN);
		ctx = SSL_CTX_new(TLS_server_method());
		SSL_CTX_use_certificate(ctx, leaf);
		SSL_CTX_use_PrivateKey(ctx, key);
		if (sent)
			SSL_CTX_add1_chain_cert(ctx, sent);
		serve(ctx, listener);
	}
	close(listener);
	return pid;
}

/* One request to a server with that chain. */
static int ask(
	const struct fetch_conf *conf, EVP_PKEY *key, X509 *leaf, X509 *sent, struct err *err)
{
	struct fetch *fetch = fetch_new(conf);
	auto_response res = { 0 };
	auto_free char *url = NULL;
	struct fetch_request req = { .method = "GET", .timeout_ms = 5000 };
	int port, result;
	pid_t server = start_server(key, leaf, sent, &port);

	url = mem_printf("https://127.0.0.1:%d/", port);
	req.url = url;
	result = fetch_do(fetch, &req, &res, err);
	if (result == 0)
		CHECK_TEXT((char *)res.body.data, "ok");
	fetch_free(fetch);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return result;
}

/* --- the tests --- */

static struct authority ours, theirs;
static EVP_PKEY *server_key;

static void test_pin_alone(void)
{
	struct fetch_conf conf = { .ca_spki = ours.spki };
	X509 *leaf = issue(server_key, "leaf", &ours, "IP:127.0.0.1", 1);
	X509 *foreign = issue(server_key, "leaf", &theirs, "IP:127.0.0.1", 1);
	struct err err = { 0 };

	CHECK_NUMBER(ask(&conf, server_key, leaf, ours.cert, &err), 0);
	CHECK_TEXT(err.detail, "");
	CHECK_FAILS(ask(&conf, server_key, leaf, NULL, &err), &err, "upstream.tls");
	CHECK_FAILS(ask(&conf, server_key, foreign, theirs.cert, &err), &err, "upstream.tls");
	/* our CA certificate beside a chain that it has not signed */
	CHECK_FAILS(ask(&conf, server_key, foreign, ours.cert, &err), &err, "upstream.tls");
	X509_free(leaf);
	X509_free(foreign);
}

static void test_names_and_times_still_count(void)
{
	struct fetch_conf conf = { .ca_spki = ours.spki };
	X509 *other_host = issue(server_key, "127.0.0.1", &ours, "DNS:elsewhere.test", 1);
	X509 *expired = issue(server_key, "leaf", &ours, "IP:127.0.0.1", -1);
	struct err err;

	CHECK_FAILS(ask(&conf, server_key, other_host, ours.cert, &err), &err, "upstream.tls");
	CHECK_FAILS(ask(&conf, server_key, expired, ours.cert, &err), &err, "upstream.tls");
	X509_free(other_host);
	X509_free(expired);
}

/* A forged CA of the same name, and a self-made one that only carries our public key. */
static void test_forged_authorities(void)
{
	struct fetch_conf conf = { .ca_spki = ours.spki };
	struct authority forged = { .key = theirs.key };
	X509 *leaf, *carrier;
	struct err err;

	forged.cert = issue(theirs.key, "Our CA", NULL, NULL, 30);
	leaf = issue(server_key, "leaf", &forged, "IP:127.0.0.1", 1);
	carrier = issue(ours.key, "Our CA", &forged, NULL, 30);
	CHECK_FAILS(ask(&conf, server_key, leaf, forged.cert, &err), &err, "upstream.tls");
	CHECK_FAILS(ask(&conf, server_key, leaf, carrier, &err), &err, "upstream.tls");
	X509_free(leaf);
	X509_free(carrier);
	X509_free(forged.cert);
}

static void test_bundle_and_pin(const char *bundle)
{
	struct fetch_conf both = { .ca_file = bundle, .ca_spki = ours.spki };
	struct fetch_conf other = { .ca_file = bundle, .ca_spki = theirs.spki };
	struct fetch_conf alone = { .ca_file = bundle };
	X509 *leaf = issue(server_key, "leaf", &ours, "IP:127.0.0.1", 1);
	X509 *foreign = issue(server_key, "leaf", &theirs, "IP:127.0.0.1", 1);
	struct err err;

	CHECK_NUMBER(ask(&alone, server_key, leaf, NULL, &err), 0);
	CHECK_NUMBER(ask(&both, server_key, leaf, NULL, &err), 0);
	CHECK_FAILS(ask(&other, server_key, leaf, NULL, &err), &err, "upstream.tls");
	CHECK_FAILS(ask(&other, server_key, foreign, theirs.cert, &err), &err, "upstream.tls");
	CHECK_FAILS(ask(&alone, server_key, foreign, theirs.cert, &err), &err, "upstream.tls");
	X509_free(leaf);
	X509_free(foreign);
}

int main(void)
{
	char bundle[] = "/tmp/test_fetch_pin.XXXXXX";
	FILE *file = fdopen(mkstemp(bundle), "w");

	authority_init(&ours, "Our CA");
	authority_init(&theirs, "Their CA");
	CHECK_NUMBER(cert_key_new(&server_key, NULL), 0);
	CHECK(file && PEM_write_X509(file, ours.cert) == 1);
	fclose(file);
	test_pin_alone();
	test_names_and_times_still_count();
	test_forged_authorities();
	test_bundle_and_pin(bundle);
	unlink(bundle);
	authority_release(&ours);
	authority_release(&theirs);
	EVP_PKEY_free(server_key);
	CHECK_DONE();
}
