/* SPDX-License-Identifier: Apache-2.0 */
/* Of the request only the key is taken; subject and names are the agent's own words. */
#include "agent/node_cert.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/cert_request.h"
#include "lib/id.h"
#include "lib/mem.h"

#define DAY 86400
#define BACKDATE_SECONDS 60
#define SERIAL_BYTES 16

static int failed(struct err *err)
{
	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "node.issue", "the certificate cannot be made");
}

static bool set_serial(X509 *cert)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *number;
	bool good;

	rand_bytes(bytes, sizeof(bytes));
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and of one length */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return good;
}

static bool set_times(X509 *cert, long long not_after)
{
	long long now = clock_unix_ms() / 1000, end = now + DAY;

	return ASN1_TIME_set(X509_getm_notBefore(cert), now - BACKDATE_SECONDS) &&
	       ASN1_TIME_set(X509_getm_notAfter(cert), end < not_after ? end : not_after);
}

static bool set_name(X509_NAME *name, const char *organisation, const char *common_name)
{
	return X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8,
		       (const unsigned char *)organisation, -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
		       (const unsigned char *)common_name, -1, -1, 0) == 1;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX ctx;
	bool good;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return good;
}

/* The issuer: the machine signing key's own word for itself. */
static bool make_issuer(const struct node_cert *node, X509 *cert)
{
	EVP_PKEY *key = node->machine->signing;
	X509_NAME *name = X509_get_subject_name(cert);

	return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
	       set_times(cert, node->not_after) &&
	       set_name(name, "Strongroom sandbox", node->machine->sandbox) &&
	       X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
	       add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	       add_extension(cert, cert, NID_key_usage, "critical,keyCertSign") &&
	       add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
	       X509_sign(cert, key, EVP_sha256()) > 0;
}

static bool make_leaf(const struct node_cert *node, EVP_PKEY *key, X509 *issuer, X509 *cert)
{
	auto_free char *names = mem_printf(
		"URI:urn:strongroom:policy:%s,URI:urn:strongroom:run:%s", node->policy, node->run);

	return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
	       set_times(cert, node->not_after) &&
	       set_name(X509_get_subject_name(cert), "Strongroom app", node->app_config_id) &&
	       X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
	       X509_set_pubkey(cert, key) == 1 &&
	       add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(cert, issuer, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(cert, issuer, NID_ext_key_usage, "clientAuth,serverAuth") &&
	       add_extension(cert, issuer, NID_subject_alt_name, names) &&
	       add_extension(cert, issuer, NID_subject_key_identifier, "hash") &&
	       add_extension(cert, issuer, NID_authority_key_identifier, "keyid") &&
	       X509_sign(cert, node->machine->signing, EVP_sha256()) > 0;
}

/* PEM of a request as DER; NULL when it is none. Freed with OPENSSL_free(). */
static unsigned char *request_der(const char *pem, int *ret_len)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	X509_REQ *request = in ? PEM_read_bio_X509_REQ(in, NULL, NULL, NULL) : NULL;
	unsigned char *der = NULL;

	*ret_len = request ? i2d_X509_REQ(request, &der) : 0;
	X509_REQ_free(request);
	BIO_free(in);
	ERR_clear_error();
	return *ret_len > 0 ? der : NULL;
}

static int read_request(const char *pem, struct cert_request *ret_request, struct err *err)
{
	int len = 0, rc;
	unsigned char *der = request_der(pem, &len);

	if (!der)
		return err_set(err, ERR_INVALID, "node.bad_request",
			"csr is no PEM of a certificate request");
	rc = cert_request_parse(der, (size_t)len, ret_request, err);
	OPENSSL_free(der);
	return rc;
}

static char *chain_text(X509 *leaf, X509 *issuer)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *data = NULL, *text = NULL;
	long len;

	if (out && PEM_write_bio_X509(out, leaf) == 1 && PEM_write_bio_X509(out, issuer) == 1) {
		len = BIO_get_mem_data(out, &data);
		text = mem_strndup(data, (size_t)len);
	}
	BIO_free(out);
	return text;
}

int node_cert_issue(
	const struct node_cert *node, const char *csr, char **ret_chain, struct err *err)
{
	auto_request request = { .key = NULL };
	X509 *issuer, *leaf;
	char *chain = NULL;

	if (read_request(csr, &request, err) < 0)
		return -1;
	issuer = X509_new();
	leaf = X509_new();
	if (issuer && leaf && make_issuer(node, issuer) &&
		make_leaf(node, request.key, issuer, leaf))
		chain = chain_text(leaf, issuer);
	X509_free(issuer);
	X509_free(leaf);
	if (!chain)
		return failed(err);
	*ret_chain = chain;
	return 0;
}
