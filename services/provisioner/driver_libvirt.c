/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver `libvirt`: a transient domain of libvirt's, so that nothing of it is left when it
 * ends. Its files are those of the driver qemu (vm_boot.h), it runs under the sandbox's uid, and
 * its vTPM is ours (vtpm.h), under our CA. Its network card ends in a switch: a QEMU without a
 * machine in the launcher's cage, whose user network leads to the relay and nowhere else
 * (vm_switch.h). The domain is named by the sandbox's id, and its metadata says whose it is.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/launch.h"
#include "lib/crash.h"
#include "lib/digest.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/libvirt_conn.h"
#include "services/provisioner/libvirt_load.h"
#include "services/provisioner/libvirt_xml.h"
#include "services/provisioner/vm_boot.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_switch.h"
#include "services/provisioner/vm_user.h"
#include "services/provisioner/vtpm.h"

#define XML_MAX 65536u
#define LAST_BREATH_MS 2000 /* from the end of a QEMU to where libvirt has noticed */

/* The caller frees. */
static char *namespace_of(const struct provisioner_conf *conf)
{
	char digest[DIGEST_TEXT_SIZE];

	digest_text(conf->sandboxes_dir, strlen(conf->sandboxes_dir), digest);
	return mem_printf("urn:strongroom:%s", digest);
}

static struct vtpm vtpm_of(const struct driver_place *place)
{
	return (struct vtpm) { .conf = place->conf,
		.sandbox_id = place->sandbox_id,
		.folder = place->folder,
		.uid = place->uid + 2 * VM_USERS };
}

/* What is ours of its parts, without the domain. */
static int prepare(const struct driver_place *place, const struct driver_spec *spec,
	struct vm_boot *boot, struct libvirt_domain *domain, struct err *err)
{
	const char *security = json_text(spec->parameters, "launch_security");

	if (libvirt_security_parse(security ? security : "none", &domain->security, err) < 0 ||
		vm_boot_prepare(place, spec, boot, err) < 0 ||
		vm_switch_start(place, &domain->port, err) < 0)
		return -1;
	domain->kernel = boot->kernel;
	domain->initrd = boot->initrd;
	domain->vars = boot->vars;
	domain->memory_mib = boot->memory_mib;
	domain->vcpus = boot->vcpus;
	domain->kvm = domain->security != LIBVIRT_PLAIN || vm_boot_kvm(place, boot);
	if (domain->security != LIBVIRT_PLAIN)
		domain->firmware = place->conf->firmware_confidential;
	else if (spec->is_measured)
		domain->firmware = place->conf->firmware;
	return 0;
}

static int create(virConnectPtr virt, const struct libvirt_domain *domain, struct err *err)
{
	auto_domain virDomainPtr made = NULL;
	auto_buf xml = BUF_INIT(XML_MAX);

	if (libvirt_xml_write(domain, &xml, err) < 0)
		return -1;
	made = vir.DomainCreateXML(virt, (const char *)xml.data, VIR_DOMAIN_START_VALIDATE);
	return made ? 0 : libvirt_conn_failed(err, "start the domain");
}

static int libvirt_start(
	const struct driver_place *place, const struct driver_spec *spec, struct err *err)
{
	auto_free char *namespace = namespace_of(place->conf), *socket = NULL;
	struct libvirt_domain domain = { .sandbox_id = place->sandbox_id,
		.namespace = namespace,
		.cmdline = LAUNCH_CMDLINE,
		.console = place->console,
		.secret = place->secret,
		.initdata = spec->initdata,
		.uid = vm_is_root() ? place->uid : 0 };
	const struct vtpm vtpm = vtpm_of(place);
	auto_virt virConnectPtr virt = NULL;
	auto_boot boot = { 0 };

	if (libvirt_conn_get(place->conf, &virt, err) < 0 ||
		vm_files_folder(place->folder, 0711, err) < 0 ||
		prepare(place, spec, &boot, &domain, err) < 0)
		return -1;
	if (spec->is_measured) {
		socket = mem_printf("%s/tpm.sock", boot.vm);
		if (vtpm_make(&vtpm, err) < 0 || vtpm_listen(&vtpm, socket, place->uid, err) < 0)
			return -1;
		domain.tpm_socket = socket;
	}
	crash_point("libvirt", "prepared");
	if (create(virt, &domain, err) < 0)
		return -1;
	crash_point("libvirt", "created");
	return 0;
}

/* NULL with 0 when there is none. */
static int find(const struct driver_place *place, virConnectPtr virt, virDomainPtr *ret_domain,
	struct err *err)
{
	*ret_domain = vir.DomainLookupByName(virt, place->sandbox_id);
	if (*ret_domain || vir.GetLastErrorCode() == VIR_ERR_NO_DOMAIN)
		return 0;
	return libvirt_conn_failed(err, "look for the domain");
}

static bool is_gone(void)
{
	int code = vir.GetLastErrorCode();

	return code == VIR_ERR_NO_DOMAIN || code == VIR_ERR_OPERATION_INVALID;
}

/* Ours is transient and vanishes with its end; one that somebody made persistent goes, too. */
static int end_domain(virDomainPtr domain, struct err *err)
{
	if (vir.DomainDestroyFlags(domain, VIR_DOMAIN_DESTROY_GRACEFUL) < 0 && !is_gone() &&
		vir.DomainDestroy(domain) < 0 && !is_gone())
		return libvirt_conn_failed(err, "end the domain");
	if (vir.DomainIsPersistent(domain) == 1 &&
		vir.DomainUndefineFlags(
			domain, VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
					VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA) < 0 &&
		!is_gone())
		return libvirt_conn_failed(err, "forget the domain");
	return 0;
}

/* Without a folder nothing was ever made of it: no libvirt is needed to know that. */
static int libvirt_stop(const struct driver_place *place, struct err *err)
{
	const struct vtpm vtpm = vtpm_of(place);
	auto_virt virConnectPtr virt = NULL;
	auto_domain virDomainPtr domain = NULL;

	if (libvirt_conn_get(place->conf, &virt, err) < 0)
		return access(place->folder, F_OK) < 0 ? 0 : -1;
	if (find(place, virt, &domain, err) < 0)
		return -1;
	if (domain && end_domain(domain, err) < 0)
		return -1;
	return vtpm_end(&vtpm, err) < 0 ? -1 : vm_switch_end(place, err);
}

/* What libvirt in this process wrote about it. */
static int libvirt_forget(const struct driver_place *place, struct err *err)
{
	auto_free char *log =
		mem_printf("%s/.embed/log/qemu/%s.log", place->all, place->sandbox_id);

	return vm_files_remove(log, err);
}

static int is_active(const struct driver_place *place, bool *ret_active, struct err *err)
{
	auto_virt virConnectPtr virt = NULL;
	auto_domain virDomainPtr domain = NULL;
	int active;

	if (libvirt_conn_get(place->conf, &virt, err) < 0 || find(place, virt, &domain, err) < 0)
		return -1;
	active = domain ? vir.DomainIsActive(domain) : 0;
	if (active < 0 && !is_gone())
		return libvirt_conn_failed(err, "look at the domain");
	*ret_active = active == 1;
	return 0;
}

/* A vTPM is gone as soon as its QEMU is: only one that a living domain misses died by itself. */
static int libvirt_inspect(const struct driver_place *place, const char **ret_gone, struct err *err)
{
	const struct vtpm vtpm = vtpm_of(place);
	bool has_lost, has_switch, active = false;

	if (vtpm_is_gone(&vtpm, &has_lost, err) < 0 ||
		vm_switch_lives(place, &has_switch, err) < 0 || is_active(place, &active, err) < 0)
		return -1;
	if (active && has_lost) {
		poll(NULL, 0, LAST_BREATH_MS);
		if (is_active(place, &active, err) < 0)
			return -1;
	}
	vm_files_cap(place->console, DRIVER_CONSOLE_MAX);
	*ret_gone = NULL;
	if (!active || !has_switch)
		*ret_gone = "sandbox.died";
	else if (has_lost)
		*ret_gone = "sandbox.vtpm_died";
	return 0;
}

static int tell(
	virDomainPtr domain, const char *namespace, driver_on_id *on_id, void *arg, struct err *err)
{
	auto_free char *metadata =
		vir.DomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, namespace, 0);
	const char *name = vir.DomainGetName(domain);

	return metadata && name && id_is(name, "sbx") ? on_id(arg, name, err) : 0;
}

/* Domains with our metadata: libvirt keeps others', too. */
static int libvirt_list(
	const struct driver_place *all, driver_on_id *on_id, void *arg, struct err *err)
{
	auto_free char *namespace = namespace_of(all->conf);
	auto_virt virConnectPtr virt = NULL;
	virDomainPtr *domains = NULL;
	int count, r = 0;

	if (!libvirt_conn_is_there(all->conf))
		return 0;
	if (libvirt_conn_get(all->conf, &virt, err) < 0)
		return -1;
	count = vir.ConnectListAllDomains(virt, &domains, 0);
	if (count < 0)
		return libvirt_conn_failed(err, "list the domains");
	for (int i = 0; i < count; i++) {
		if (r == 0)
			r = tell(domains[i], namespace, on_id, arg, err);
		vir.DomainFree(domains[i]);
	}
	free(domains);
	return r;
}

const struct driver driver_libvirt = {
	.name = "libvirt",
	.folder = "libvirt",
	.secret = VM_BOOT_SECRET,
	.console = VM_BOOT_CONSOLE,
	.start = libvirt_start,
	.inspect = libvirt_inspect,
	.stop = libvirt_stop,
	.forget = libvirt_forget,
	.list = libvirt_list,
};
