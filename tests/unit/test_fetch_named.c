/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses may be asked for what a user named, and which URLs have one meaning only. */
#include "lib/fetch_named.h"

#include <arpa/inet.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/url.h"
#include "tests/unit/check.h"

#define PORTS "443,8000-8999"

static bool allows_port(const char *text, unsigned short port, const char *prefixes)
{
	const struct fetch_named_conf conf = { .ports = PORTS, .prefixes = prefixes };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		return fetch_named_allows(&conf, (struct sockaddr *)&four);
	CHECK(inet_pton(AF_INET6, text, &six.sin6_addr) == 1);
	return fetch_named_allows(&conf, (struct sockaddr *)&six);
}

static bool allows(const char *text, const char *prefixes)
{
	return allows_port(text, 443, prefixes);
}

static void test_addresses(void)
{
	static const char *const refused[] = { "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255",
		"100.64.0.1", "100.127.255.255", "127.0.0.1", "127.8.8.8", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.192", "192.168.1.1", "198.18.0.1",
		"198.19.255.255", "203.0.113.5", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
		"::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1", "fe80::1", "fc00::1",
		"fd00:ec2::254", "ff02::1", "2001:db8::1", "2001::1",
		"2002:7f00:1::", "2002:a9fe:a9fe::1", "100::1", "4000::1", "fec0::1", "3fff::1" };
	static const char *const allowed[] = { "1.1.1.1", "8.8.8.8", "100.63.255.255",
		"100.128.0.0", "172.15.255.255", "172.32.0.0", "223.255.255.255", "169.253.0.1",
		"2606:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8", "2a00::1" };

	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		CHECK(!allows(refused[i], ""));
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		CHECK(allows(allowed[i], NULL));
}

static void test_prefixes(void)
{
	const char *prefixes = "10.1.0.0/16,192.168.7.8/29,fd00:1::/33,127.0.0.1/32";

	CHECK(allows("10.1.255.255", prefixes) && !allows("10.2.0.0", prefixes));
	CHECK(allows("192.168.7.15", prefixes) && !allows("192.168.7.16", prefixes));
	CHECK(allows("fd00:1:7fff::1", prefixes) && !allows("fd00:1:8000::1", prefixes));
	CHECK(allows("127.0.0.1", prefixes) && !allows("127.0.0.2", prefixes));
	CHECK(allows("::ffff:127.0.0.1", prefixes) && !allows("::1", prefixes));
	CHECK(fetch_named_check_prefixes(prefixes, NULL) == 0);
	CHECK(fetch_named_check_prefixes("", NULL) == 0);
	CHECK(fetch_named_check_prefixes("10.0.0.0", NULL) < 0);
	CHECK(fetch_named_check_prefixes("10.0.0.0/33", NULL) < 0);
	CHECK(fetch_named_check_prefixes("10.0.0.0/8,,::/0", NULL) < 0);
	CHECK(fetch_named_check_prefixes("::/129", NULL) < 0);
	CHECK(fetch_named_check_prefixes("here/8", NULL) < 0);
}

/* Beside what the operator meant there is more in his network: only listed ports lead there. */
static void test_ports(void)
{
	static const char *const lists[] = { "443,", ",443", "0", "65536", "443 ,80", "9-8", "80-",
		"-80", "https", "443-444-445" };
	const char *prefixes = "10.1.0.0/16,fd00:1::/32";

	CHECK(allows_port("10.1.0.1", 8000, prefixes) && allows_port("fd00:1::1", 8999, prefixes));
	CHECK(!allows_port("10.1.0.1", 5432, prefixes) && !allows_port("fd00:1::1", 22, prefixes));
	CHECK(!allows_port("::ffff:10.1.0.1", 44, prefixes) &&
		!allows_port("10.1.0.1", 0, prefixes));
	CHECK(allows_port("8.8.8.8", 5432, prefixes) && !allows_port("10.2.0.1", 443, prefixes));
	CHECK(fetch_named_check_ports(PORTS, NULL) == 0 && fetch_named_check_ports("", NULL) == 0);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		CHECK(fetch_named_check_ports(lists[i], NULL) < 0);
}

static void test_urls(void)
{
	static const char *const addresses[] = { "https://127.0.0.1/", "https://2130706433/",
		"https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/", "https://[::1]/",
		"https://[::ffff:127.0.0.1]:443/", "https://a.example.0x7f/" };
	static const char *const bad[] = { "", "https://", "https:///x", "//a/x", "gopher://a/",
		"file:///etc/passwd", "https://u@a/", "https://u:p@a/", "https://a\\@b/",
		"https://a#@b/", "https://a b/", "https://a/\r\nHost: b", "https://a:/",
		"https://a:080/", "https://a:65536/", "https://a:x/", "https://a./", "https://.a/",
		"https://-a/", "https://a-/", "https://a_b/", "https://\xc3\xa4/", "https://a%2eb/",
		"https://[::1", "https://[fe80::1%25eth0]/", "https://a/%", "https://a/%4",
		"https://a/%gg", "https://a?b", "s3://bucket:1/x" };
	struct url url;

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
		CHECK(url_parse(addresses[i], &url, NULL) == 0 && url.is_address);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(url_parse(bad[i], &url, NULL) < 0);
	CHECK(url_parse("https://Store.Example:8443/a/%C3%A4?b=c/d", &url, NULL) == 0);
	CHECK_TEXT(url.host, "store.example");
	CHECK_TEXT(url.port, "8443");
	CHECK_TEXT(url.path, "/a/%C3%A4?b=c/d");
	CHECK_TEXT(url.query, "b=c/d");
	CHECK(!url.is_address);
	CHECK(url_parse("http://a", &url, NULL) == 0 && !url.query);
	CHECK_TEXT(url.port, "80");
	CHECK_TEXT(url.path, "/");
}

/* Before anything is asked or resolved. */
static void test_refusals(void)
{
	static const char *const urls[] = { "http://a.example/", "https://127.0.0.1/",
		"https://[::1]/", "https://2130706433/", "https://a.example:22/", "s3://a/b",
		"https://localhost/" };
	const struct fetch_named_conf conf = { "443,8443", "", "", 100, 1000 };
	struct err err;
	size_t len;
	char *data;

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		err = (struct err) { 0 };
		CHECK(fetch_named(&conf, urls[i], &data, &len, &err) < 0);
		CHECK_TEXT(err.code, "url.refused");
	}
}

int main(void)
{
	test_addresses();
	test_prefixes();
	test_ports();
	test_urls();
	test_refusals();
	CHECK_DONE();
}
