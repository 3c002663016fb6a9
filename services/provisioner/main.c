/* SPDX-License-Identifier: Apache-2.0 */
/* The provisioner: sandboxes from templates, and the machine keys that are born in them. */
#include <unistd.h>

#include "services/provisioner/attestations.h"
#include "services/provisioner/config.h"
#include "services/provisioner/console.h"
#include "services/provisioner/enrolments.h"
#include "services/provisioner/lifecycle.h"
#include "services/provisioner/migrations.h"
#include "services/provisioner/quota.h"
#include "services/provisioner/reconcile.h"
#include "services/provisioner/sandboxes.h"
#include "services/provisioner/store.h"
#include "services/provisioner/templates.h"
#include "services/provisioner/vm_user.h"

#define SMALL (16 * 1024)
#define EVIDENCE (256 * 1024)
#define ROW(key, type, member, fallback, help)                                                     \
	{                                                                                          \
		key, type, offsetof(struct provisioner_conf, member), fallback, help               \
	}

static const struct conf_item config[] = {
	ROW("templates_dir", CONF_TEXT, templates_dir, NULL, "folder of the templates"),
	ROW("sandboxes_dir", CONF_TEXT, sandboxes_dir, NULL,
		"folder of what belongs to the sandboxes"),
	ROW("guest_dir", CONF_TEXT, guest_dir, NULL,
		"folder with vmlinuz, initramfs.img and guest.json"),
	ROW("launcher", CONF_TEXT, launcher, NULL, "path of strongroom-launch"),
	ROW("relay", CONF_TEXT, relay, NULL, "path of strongroom-relay"),
	ROW("edge_ca", CONF_TEXT, edge_ca, NULL, "PEM file of the edge's CA"),
	ROW("edge_address", CONF_TEXT, edge_address, NULL, "host:port of the edge"),
	ROW("sandbox_uid", CONF_COUNT, sandbox_uid, "0",
		"first of 768 uids for root to run QEMU, relays and vTPMs under; 0: this "
		"service's"),
	ROW("firmware", CONF_TEXT, firmware, "/usr/share/OVMF/OVMF_CODE.fd",
		"OVMF's code, for measured sandboxes"),
	ROW("firmware_vars", CONF_TEXT, firmware_vars, "/usr/share/OVMF/OVMF_VARS.fd",
		"OVMF's variables as they are delivered"),
	ROW("vtpm_setup", CONF_TEXT, vtpm_setup, NULL,
		"swtpm_setup's configuration file, which names the CA of vTPMs"),
	ROW("vtpm_ca", CONF_TEXT, vtpm_ca, NULL, "PEM file of that CA's root"),
	ROW("vtpm_chain", CONF_TEXT, vtpm_chain, NULL,
		"PEM file of that CA's certificates without its root"),
	ROW("kvm", CONF_BOOL, kvm, "true", "use KVM when a time-limited probe says that it works"),
	ROW("runc", CONF_TEXT, runc, "runc", "program of the driver process"),
	ROW("process_uid", CONF_COUNT, process_uid, "1342177280",
		"driver process: first of 256 times 65536 uids that are nobody else's"),
	ROW("host_sandboxes", CONF_COUNT, host_sandboxes, "200",
		"sandboxes that have a VM at once, of all tenants; 0: any"),
	ROW("host_vcpus", CONF_COUNT, host_vcpus, "0", "virtual processors of these; 0: any"),
	ROW("host_memory_mib", CONF_COUNT, host_memory_mib, "0", "memory of these; 0: any"),
	ROW("tenant_sandboxes", CONF_COUNT, tenant_sandboxes, "100",
		"sandboxes of one tenant that have a VM at once; 0: any"),
	ROW("tenant_vcpus", CONF_COUNT, tenant_vcpus, "0", "virtual processors of these; 0: any"),
	ROW("tenant_memory_mib", CONF_COUNT, tenant_memory_mib, "0", "memory of these; 0: any"),
	ROW("tenant_weight", CONF_COUNT, tenant_weight, "0",
		"sum of their templates' weights; 0: any"),
	ROW("tenant_queue", CONF_COUNT, tenant_queue, "1000",
		"sandboxes of one tenant that wait for a place; 0: any"),
	ROW("member_sandboxes", CONF_COUNT, member_sandboxes, "0",
		"sandboxes of one member that have a VM at once; 0: any"),
	ROW("member_weight", CONF_COUNT, member_weight, "0",
		"sum of their templates' weights; 0: any"),
	ROW("lifetime_s", CONF_COUNT, lifetime_s, "0",
		"seconds after which a sandbox is deleted; 0: none unless its owner says so"),
	{ NULL, CONF_TEXT, 0, NULL, NULL },
};

static const struct lane_conf lanes[] = { { "db", 0, 256 }, { NULL, 0, 0 } };

#define READ(path, handler)                                                                        \
	{                                                                                          \
		"GET", path, WEB_MEMBER, "read", "db", 0, false, .handle = (handler)               \
	}
#define CHANGE(method, path, max, json, handler)                                                   \
	{                                                                                          \
		method, path, WEB_MEMBER, "write", "db", max, json, .handle = (handler)            \
	}

static const struct web_route routes[] = {
	READ("/v1/templates", template_list),
	READ("/v1/templates/{template_id}", template_show),
	CHANGE("POST", "/v1/sandboxes", SMALL, true, sandbox_create),
	READ("/v1/sandboxes", sandbox_list),
	READ("/v1/sandboxes/{sandbox_id}", sandbox_show),
	CHANGE("POST", "/v1/sandboxes/{sandbox_id}:start", SMALL, true, sandbox_start),
	CHANGE("POST", "/v1/sandboxes/{sandbox_id}:restart", SMALL, true, sandbox_start),
	CHANGE("POST", "/v1/sandboxes/{sandbox_id}:retry", SMALL, false, sandbox_retry),
	CHANGE("POST", "/v1/sandboxes/{sandbox_id}:cancel", SMALL, false, sandbox_cancel),
	CHANGE("POST", "/v1/sandboxes/{sandbox_id}:stop", SMALL, false, sandbox_stop),
	CHANGE("DELETE", "/v1/sandboxes/{sandbox_id}", 0, false, sandbox_delete),
	READ("/v1/sandboxes/{sandbox_id}/console", console_show),
	READ("/v1/quotas/self", quota_own),
	READ("/v1/quotas/{tenant_id}", quota_show),
	CHANGE("PUT", "/v1/quotas/{tenant_id}", SMALL, true, quota_put),
	CHANGE("POST", "/v1/sandboxes/{sandbox_id}:attest", SMALL, true, attestation_create),
	READ("/v1/sandboxes/{sandbox_id}/attestations/{attestation_id}", attestation_show),
	{ "GET", "/v1/agent/attestations", WEB_AGENT, NULL, "db", 0, false,
		.handle = attestation_next },
	{ "PUT", "/v1/agent/attestations/{attestation_id}", WEB_AGENT, NULL, "db", EVIDENCE, true,
		.handle = attestation_answer },
	{ "POST", "/v1/enrolments/{sandbox_id}/claim", WEB_PUBLIC, NULL, "db", SMALL, true,
		.handle = enrolment_claim },
	{ "POST", "/v1/enrolments/{sandbox_id}", WEB_PUBLIC, NULL, "db", EVIDENCE, true,
		.handle = enrolment_create },
	{ "GET", "/internal/v1/sandboxes/{sandbox_id}", WEB_SERVICE, "certreg", "db", 0, false,
		.handle = sandbox_internal },
	{ "GET", "/internal/v1/tenants/{tenant_id}/sandboxes/{sandbox_id}", WEB_SERVICE,
		"orchestrator", "db", 0, false, .handle = sandbox_of_tenant },
	{ .method = NULL },
};

static const struct service_loop loops[] = {
	{ "sandboxes", "sandbox", 500, lifecycle_run, true },
	{ "admission", "sandbox", 1000, quota_admit, false },
	{ "orphans", NULL, 30000, reconcile_run, false },
	{ NULL, NULL, 0, NULL, false },
};

/* Root never runs a VM as itself. */
static int init(struct worker *worker, struct err *err)
{
	const struct provisioner_conf *conf = worker->program;

	if (geteuid() == 0 && vm_user_check(conf->sandbox_uid, err) < 0)
		return -1;
	return templates_init(worker, err) < 0 ? -1 : store_sweep_begin(worker->db, err);
}

static const struct service provisioner = {
	.name = "provisioner",
	.config = config,
	.config_size = sizeof(struct provisioner_conf),
	.lanes = lanes,
	.routes = routes,
	.loops = loops,
	.migrations = migrations,
	.forgets = store_forgets,
	.init = init,
	.admit = enrolment_admit,
};

int main(int argc, char **argv)
{
	return service_main(&provisioner, argc, argv);
}
