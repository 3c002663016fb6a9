/* SPDX-License-Identifier: Apache-2.0 */
/* A domain's document: what libvirt's own schema says of it, values that are made of XML, and the
 * parts for confidential hardware, which no machine here has. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/mem.h"
#include "services/provisioner/libvirt_xml.h"
#include "tests/unit/check.h"

#define SCHEMA "/usr/share/libvirt/schemas/domain.rng"
#define INITDATA "{}"
/* sha256("{}"), alone and with 16 zeros behind it */
#define HOST_DATA "RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o="
#define MRCONFIGID "RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4oAAAAAAAAAAAAAAAAAAAAA"

static const struct libvirt_domain plain = { .sandbox_id = "sbx_0190f1c2000070008000000000000002",
	.namespace = "urn:strongroom:sha256:00",
	.kernel = "/guest/vmlinuz",
	.initrd = "/s/initrd.img",
	.cmdline = "console=ttyS0 quiet",
	.console = "/s/vm/console.log",
	.secret = "/s/vm/secret",
	.initdata = INITDATA,
	.memory_mib = 768,
	.vcpus = 2,
	.port = 40000,
	.uid = 61000 };

static char *written(const struct libvirt_domain *domain)
{
	struct buf xml = BUF_INIT(65536);
	struct err err = { 0 };

	CHECK(libvirt_xml_write(domain, &xml, &err) == 0);
	return (char *)xml.data;
}

/* xmllint's word on it: 0 when it is of that schema, or at least XML when there is no schema. */
static int validate(const char *xml, const char *schema)
{
	char path[] = "/tmp/test_libvirt_xml.XXXXXX";
	int fd = mkstemp(path), status = -1;
	pid_t pid;

	CHECK(fd >= 0 && write(fd, xml, strlen(xml)) == (ssize_t)strlen(xml));
	close(fd);
	pid = fork();
	if (pid == 0) {
		CHECK(freopen("/dev/null", "w", stderr));
		if (schema)
			execlp("xmllint", "xmllint", "--noout", "--relaxng", schema, path, NULL);
		else
			execlp("xmllint", "xmllint", "--noout", path, NULL);
		_exit(127);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	unlink(path);
	return WEXITSTATUS(status);
}

static unsigned count(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

static void test_schema(void)
{
	struct libvirt_domain measured = plain;
	auto_free char *bare = written(&plain), *whole = NULL;

	measured.firmware = "/usr/share/OVMF/OVMF_CODE.fd";
	measured.vars = "/s/vm/vars.fd";
	measured.tpm_socket = "/s/vm/tpm.sock";
	measured.kvm = true;
	whole = written(&measured);
	CHECK_NUMBER(validate(bare, SCHEMA), 0);
	CHECK_NUMBER(validate(whole, SCHEMA), 0);
	CHECK_NUMBER(count(bare, "<tpm "), 0);
	CHECK_NUMBER(count(bare, "<loader"), 0);
	CHECK(strstr(bare, "<domain type='qemu'>") && strstr(whole, "<domain type='kvm'>"));
	CHECK(strstr(bare, "<vcpu>2</vcpu>"));
	CHECK(strstr(whole, "<nvram>/s/vm/vars.fd</nvram>"));
	CHECK(strstr(whole, "<source type='unix' mode='connect' path='/s/vm/tpm.sock'/>"));
	CHECK(strstr(whole, "<label>+61000:+61000</label>"));
}

/* Whatever a value is made of, the document keeps its elements. */
static void test_metacharacters(void)
{
	static const char *const values[] = { "/a'/><emulator>/bin/sh</emulator><x y='",
		"</cmdline></os><qemu:commandline/>", "]]>", "<!--", "&lt;", "\"", "@@%s%n", "/ü/€",
		"<![CDATA[" };
	auto_free char *usual = written(&plain);

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct libvirt_domain domain = plain;
		auto_free char *xml = NULL;

		domain.kernel = domain.initrd = domain.cmdline = values[i];
		domain.console = domain.secret = values[i];
		xml = written(&domain);
		CHECK_NUMBER(validate(xml, NULL), 0);
		CHECK_NUMBER(count(xml, "<"), count(usual, "<"));
		CHECK_NUMBER(count(xml, "'"), count(usual, "'"));
	}
}

static void test_control_characters(void)
{
	static const char *const values[] = { "/a\nb", "\x01", "\x7f", "a\tb", "\r" };
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct libvirt_domain domain = plain;
		auto_buf xml = BUF_INIT(65536);

		domain.kernel = values[i];
		CHECK_FAILS(libvirt_xml_write(&domain, &xml, &err), &err, "libvirt.bad_text");
	}
}

/* The rest of it, for a schema that does not know the element yet. */
static void without_security(char *xml)
{
	char *start = strstr(xml, "<launchSecurity"), *end = strstr(xml, "</launchSecurity>");

	CHECK(start && end);
	end += strlen("</launchSecurity>");
	memmove(start, end, strlen(end) + 1);
}

/* As libvirt's documentation has them; its schema knows them from 10.5 and 11.6 on. */
static void test_confidential(void)
{
	struct libvirt_domain domain = plain;
	auto_free char *snp = NULL, *tdx = NULL;

	domain.firmware = "/usr/share/ovmf/OVMF.fd";
	domain.kvm = true;
	domain.security = LIBVIRT_SEV_SNP;
	snp = written(&domain);
	domain.security = LIBVIRT_TDX;
	tdx = written(&domain);
	CHECK_NUMBER(validate(snp, NULL), 0);
	CHECK_NUMBER(validate(tdx, NULL), 0);
	CHECK(strstr(snp,
		"<launchSecurity type='sev-snp' kernelHashes='yes'>"
		"<policy>0x30000</policy><hostData>" HOST_DATA "</hostData></launchSecurity>"));
	CHECK(strstr(tdx, "<launchSecurity type='tdx'><policy>0x10000000</policy>"
			  "<mrConfigId>" MRCONFIGID "</mrConfigId><quoteGenerationService path="));
	CHECK(strstr(snp, "<loader type='rom' stateless='yes'>") && !strstr(snp, "<nvram>"));
	CHECK(strstr(tdx, "<loader type='rom' stateless='yes'>") && !strstr(tdx, "<nvram>"));
	without_security(snp);
	without_security(tdx);
	CHECK_NUMBER(validate(snp, SCHEMA), 0);
	CHECK_NUMBER(validate(tdx, SCHEMA), 0);
}

static void test_security_names(void)
{
	enum libvirt_security security = LIBVIRT_PLAIN;
	struct err err = { 0 };

	CHECK(libvirt_security_parse("none", &security, &err) == 0 && security == LIBVIRT_PLAIN);
	CHECK(libvirt_security_parse("sev-snp", &security, &err) == 0);
	CHECK(security == LIBVIRT_SEV_SNP);
	CHECK(libvirt_security_parse("tdx", &security, &err) == 0 && security == LIBVIRT_TDX);
	CHECK_FAILS(libvirt_security_parse("sev", &security, &err), &err, "libvirt.bad_security");
}

int main(void)
{
	test_schema();
	test_metacharacters();
	test_control_characters();
	test_confidential();
	test_security_names();
	CHECK_DONE();
}
