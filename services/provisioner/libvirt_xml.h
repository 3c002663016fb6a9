/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The domain that a sandbox is for libvirt. The document is fixed; what is put into it is escaped
 * as it goes in, so that no value can become a part of it. The same hardware as the driver qemu's,
 * as far as it is measured.
 */
#ifndef PROVISIONER_LIBVIRT_XML_H
#define PROVISIONER_LIBVIRT_XML_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/buf.h"

enum libvirt_security { LIBVIRT_PLAIN, LIBVIRT_SEV_SNP, LIBVIRT_TDX };

struct libvirt_domain {
	const char *sandbox_id;
	const char *namespace; /* of <sandbox id/> in its metadata; each Strongroom of a host has
				  its own */
	const char *kernel, *initrd, *cmdline, *console, *secret;
	const char *firmware;		/* NULL: the BIOS that QEMU brings */
	const char *vars;		/* with firmware, but not of confidential ones */
	const char *tpm_socket;		/* NULL: no vTPM */
	const char *initdata;		/* its digest is what confidential hardware reports */
	enum libvirt_security security; /* confidential: firmware without variables, and KVM */
	long long memory_mib, vcpus;
	unsigned port; /* of the switch on 127.0.0.1 */
	uid_t uid;     /* QEMU's; 0: as libvirt has it */
	bool kvm;
};

/* "none", "sev-snp", "tdx": libvirt.bad_security. */
int libvirt_security_parse(const char *text, enum libvirt_security *ret_security, struct err *err);
/* libvirt.bad_text when a value cannot stand in XML at all. */
int libvirt_xml_write(const struct libvirt_domain *domain, struct buf *xml, struct err *err);

#endif
