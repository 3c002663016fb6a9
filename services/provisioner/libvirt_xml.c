/* SPDX-License-Identifier: Apache-2.0 */
/* The document, piece by piece. */
#include "services/provisioner/libvirt_xml.h"

#include <stdarg.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/mem.h"

#define MRCONFIGID_SIZE 48
#define QUOTE_SERVICE "/var/run/tdx-qgs/qgs.socket" /* where Intel's DCAP puts it */

static int add_byte(struct buf *xml, char byte, struct err *err)
{
	switch (byte) {
	case '&':
		return buf_add_text(xml, "&amp;", err);
	case '<':
		return buf_add_text(xml, "&lt;", err);
	case '>':
		return buf_add_text(xml, "&gt;", err);
	case '\'':
		return buf_add_text(xml, "&apos;", err);
	case '"':
		return buf_add_text(xml, "&quot;", err);
	default:
		return buf_add(xml, &byte, 1, err);
	}
}

static int add_escaped(struct buf *xml, const char *text, struct err *err)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return err_set(err, ERR_INVALID, "libvirt.bad_text",
				"a value of the domain has a control character");
		if (add_byte(xml, *text, err) < 0)
			return -1;
	}
	return 0;
}

/* Each '@' of the piece is the next text, escaped; the texts end with NULL. */
static int add(struct buf *xml, struct err *err, const char *piece, ...) __attribute__((sentinel));

static int add(struct buf *xml, struct err *err, const char *piece, ...)
{
	va_list texts;
	int r = 0;

	va_start(texts, piece);
	for (; r == 0 && *piece; piece++)
		r = *piece == '@' ? add_escaped(xml, va_arg(texts, const char *), err)
				  : buf_add(xml, piece, 1, err);
	va_end(texts);
	return r;
}

static bool is_confidential(const struct libvirt_domain *domain)
{
	return domain->security != LIBVIRT_PLAIN;
}

static int add_head(struct buf *xml, const struct libvirt_domain *domain, struct err *err)
{
	auto_free char *memory = mem_printf("%lld", domain->memory_mib);
	auto_free char *vcpus = mem_printf("%lld", domain->vcpus);

	return add(xml, err,
		"<domain type='@'>\n<name>@</name>\n<metadata>"
		"<strongroom:sandbox xmlns:strongroom='@' id='@'/>"
		"</metadata>\n<memory unit='MiB'>@</memory>\n<vcpu>@</vcpu>\n",
		domain->kvm ? "kvm" : "qemu", domain->sandbox_id, domain->namespace,
		domain->sandbox_id, memory, vcpus, NULL);
}

/* What is measured rests on this and on the devices: see lib/reference.h before any is changed. */
static int add_boot(struct buf *xml, const struct libvirt_domain *domain, struct err *err)
{
	if (add(xml, err, "<os>\n<type arch='x86_64' machine='q35'>hvm</type>\n", NULL) < 0)
		return -1;
	if (is_confidential(domain) &&
		add(xml, err, "<loader type='rom' stateless='yes'>@</loader>\n", domain->firmware,
			NULL) < 0)
		return -1;
	if (!is_confidential(domain) && domain->firmware &&
		add(xml, err, "<loader readonly='yes' type='pflash'>@</loader>\n<nvram>@</nvram>\n",
			domain->firmware, domain->vars, NULL) < 0)
		return -1;
	return add(xml, err,
		"<kernel>@</kernel>\n<initrd>@</initrd>\n<cmdline>@</cmdline>\n</os>\n"
		"<sysinfo type='fwcfg'><entry name='opt/strongroom/enrolment' "
		"file='@'/></sysinfo>\n",
		domain->kernel, domain->initrd, domain->cmdline, domain->secret, NULL);
}

/* The guest gets no reboot: what comes after one has keys that nobody knows. */
static int add_machine(struct buf *xml, const struct libvirt_domain *domain, struct err *err)
{
	return add(xml, err,
		"<features><acpi/><smm state='off'/></features>\n<cpu mode='@'/>\n<clock "
		"offset='utc'/>\n"
		"<on_poweroff>destroy</on_poweroff>\n<on_reboot>destroy</on_reboot>\n"
		"<on_crash>destroy</on_crash>\n",
		domain->kvm ? "host-passthrough" : "maximum", NULL);
}

static int add_devices(struct buf *xml, const struct libvirt_domain *domain, struct err *err)
{
	auto_free char *port = mem_printf("%u", domain->port);

	return add(xml, err,
		"<controller type='usb' model='none'/>\n"
		"<serial type='file'><source path='@' append='on'/>"
		"<target type='isa-serial' port='0'/></serial>\n"
		"<interface type='client'><source address='127.0.0.1' port='@'/>"
		"<model type='virtio'/><rom enabled='no'/></interface>\n"
		"<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>\n"
		"<memballoon model='none'/>\n",
		domain->console, port, NULL);
}

static int add_tpm(struct buf *xml, const struct libvirt_domain *domain, struct err *err)
{
	if (!domain->tpm_socket)
		return 0;
	return add(xml, err,
		"<tpm model='tpm-crb'><backend type='external' version='2.0'>"
		"<source type='unix' mode='connect' path='@'/></backend></tpm>\n",
		domain->tpm_socket, NULL);
}

/* The digest of the initdata as the hardware's report has it: 32 bytes, or padded with zeros. */
static int add_security(struct buf *xml, const struct libvirt_domain *domain, struct err *err)
{
	unsigned char digest[MRCONFIGID_SIZE] = { 0 };
	auto_free char *text = NULL;

	if (!is_confidential(domain))
		return 0;
	digest_sha256(domain->initdata, strlen(domain->initdata), digest);
	text = codec_b64_text(
		digest, domain->security == LIBVIRT_TDX ? MRCONFIGID_SIZE : DIGEST_SIZE);
	if (domain->security == LIBVIRT_TDX)
		return add(xml, err,
			"<launchSecurity type='tdx'><policy>0x10000000</policy>"
			"<mrConfigId>@</mrConfigId>"
			"<quoteGenerationService path='" QUOTE_SERVICE "'/></launchSecurity>\n",
			text, NULL);
	return add(xml, err,
		"<launchSecurity type='sev-snp' kernelHashes='yes'><policy>0x30000</policy>"
		"<hostData>@</hostData></launchSecurity>\n",
		text, NULL);
}

static int add_label(struct buf *xml, const struct libvirt_domain *domain, struct err *err)
{
	auto_free char *label = mem_printf("+%u:+%u", domain->uid, domain->uid);

	if (domain->uid == 0)
		return 0;
	return add(xml, err,
		"<seclabel type='static' model='dac' relabel='yes'><label>@</label></seclabel>\n",
		label, NULL);
}

int libvirt_xml_write(const struct libvirt_domain *domain, struct buf *xml, struct err *err)
{
	if (add_head(xml, domain, err) < 0 || add_boot(xml, domain, err) < 0 ||
		add_machine(xml, domain, err) < 0 || add(xml, err, "<devices>\n", NULL) < 0 ||
		add_devices(xml, domain, err) < 0 || add_tpm(xml, domain, err) < 0 ||
		add(xml, err, "</devices>\n", NULL) < 0 || add_security(xml, domain, err) < 0 ||
		add_label(xml, domain, err) < 0)
		return -1;
	return add(xml, err, "</domain>\n", NULL);
}

int libvirt_security_parse(const char *text, enum libvirt_security *ret_security, struct err *err)
{
	static const char *const names[] = {
		[LIBVIRT_PLAIN] = "none", [LIBVIRT_SEV_SNP] = "sev-snp", [LIBVIRT_TDX] = "tdx"
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], text) == 0) {
			*ret_security = (enum libvirt_security)i;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, "libvirt.bad_security",
		"launch_security is none, sev-snp or tdx");
}
