/* SPDX-License-Identifier: Apache-2.0 */
/* The provisioner: sandboxes from templates, and the machine keys that are born in them. */
#include <string.h>
#include <unistd.h>

#include "lib/web_rows.h"
#include "services/provisioner/attestations.h"
#include "services/provisioner/config.h"
#include "services/provisioner/console.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/enrolments.h"
#include "services/provisioner/lifecycle.h"
#include "services/provisioner/migrations.h"
#include "services/provisioner/pool.h"
#include "services/provisioner/quota.h"
#include "services/provisioner/reconcile.h"
#include "services/provisioner/sandboxes.h"
#include "services/provisioner/store.h"
#include "services/provisioner/templates.h"
#include "services/provisioner/tofu_state.h"
#include "services/provisioner/verdict.h"
#include "services/provisioner/vm_user.h"
#include "services/provisioner/vtpm.h"
#include "services/provisioner/vtpm_stock.h"

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
	ROW("vtpm_stock", CONF_COUNT, vtpm_stock, "2",
		"vTPMs to have manufactured for the next measured sandboxes; 64 at most"),
	ROW("kvm", CONF_BOOL, kvm, "true", "use KVM when a time-limited probe says that it works"),
	ROW("runc", CONF_TEXT, runc, "runc", "program of the driver process"),
	ROW("bwrap", CONF_TEXT, bwrap, "bwrap", "program of the driver process where runc fails"),
	ROW("process_runtime", CONF_TEXT, process_runtime, "auto",
		"runc, bwrap, or auto: runc when a time-limited probe says that it works"),
	ROW("process_uid", CONF_COUNT, process_uid, "1342177280",
		"driver process: first of 256 times 65536 uids that are nobody else's"),
	ROW("tofu", CONF_TEXT, tofu, "", "program of the driver tofu; empty: there is none"),
	ROW("tofu_listen", CONF_TEXT, tofu_listen, "",
		"tcp:127.0.0.1:port, where tofu finds its state; best a port below 1024"),
	ROW("tofu_state_key", CONF_TEXT, tofu_state_key, "",
		"file with at least 32 random bytes, under which that state is encrypted"),
	ROW("runner", CONF_TEXT, runner, "", "path of strongroom-run, which runs tofu"),
	ROW("tofu_settings", CONF_TEXT, tofu_settings, "",
		"folder with <template>/variables.json, terraform.lock.hcl and env/NAME"),
	ROW("tofu_plugins", CONF_TEXT, tofu_plugins, "",
		"folder of tofu's providers; empty: as it finds them"),
	ROW("tofu_drift", CONF_MS, tofu_drift_ms, "10m",
		"how often tofu looks whether a machine is still there; 0: never"),
	ROW("tofu_limit", CONF_MS, tofu_limit_ms, "30m", "how long one run of tofu may take"),
	ROW("tofu_grace", CONF_MS, tofu_grace_ms, "10m",
		"how long a run that was asked to stop may take to save its state"),
	ROW("libvirt_uri", CONF_TEXT, libvirt_uri, "",
		"where the driver libvirt connects; empty: qemu:///system when its daemon is "
		"there, else libvirt in this process"),
	ROW("firmware_confidential", CONF_TEXT, firmware_confidential, "/usr/share/ovmf/OVMF.fd",
		"OVMF without variables, for SEV-SNP and TDX by libvirt"),
	ROW("controller_url", CONF_TEXT, controller_url, "",
		"https://host[:port] of the driver controller; empty: there is none"),
	ROW("controller_ca", CONF_TEXT, controller_ca, "",
		"PEM file of that server's CA; empty: the system's"),
	ROW("controller_cert", CONF_TEXT, controller_cert, "",
		"PEM file of our certificate there; empty: none"),
	ROW("controller_key", CONF_TEXT, controller_key, "", "PEM file of its key"),
	ROW("controller_token", CONF_TEXT, controller_token, "",
		"file with a bearer token for it, read for each call; empty: none"),
	ROW("controller_timeout", CONF_MS, controller_timeout_ms, "8s",
		"how long one request to it may take"),
	ROW("pool", CONF_TEXT, pool, "",
		"sandboxes to have ready for whoever comes: \"measured-small=2 process-dev=1\""),
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

static const struct lane_conf lanes[] = { { "db", 0, 256, 0 }, { NULL, 0, 0, 0 } };

/* A change whose body is no JSON, or none. */
#define CHANGE(method, path, max, handler)                                                         \
	{                                                                                          \
		method, path, WEB_MEMBER, "write", "db", max, false, .handle = (handler)           \
	}

/* For tofu, on this host only. */
#define LOCAL(method, max, json, handler)                                                          \
	{                                                                                          \
		method, "/tofu/{sandbox_id}", WEB_LOCAL, NULL, "db", max, json,                    \
			.handle = (handler)                                                        \
	}

static const struct web_route routes[] = {
	READ("/v1/templates", template_list),
	READ("/v1/templates/{template_id}", template_show),
	READ("/v1/templates/{template_id}/versions", template_versions),
	READ("/v1/templates/{template_id}/versions/{version}", template_version),
	CHANGE("POST", "/v1/templates", TEMPLATE_MAX_LEN, template_create),
	CHANGE("PUT", "/v1/templates/{template_id}/versions/{version}", TEMPLATE_MAX_LEN,
		template_replace),
	CHANGE("DELETE", "/v1/templates/{template_id}/versions/{version}", 0, template_delete),
	CHANGE("POST", "/v1/templates/{template_id}/versions/{version}:publish", SMALL,
		template_publish),
	CHANGE("POST", "/v1/templates/{template_id}/versions/{version}:deprecate", SMALL,
		template_deprecate),
	WRITE("POST", "/v1/sandboxes", SMALL, sandbox_create),
	READ("/v1/sandboxes", sandbox_list),
	READ("/v1/sandboxes/{sandbox_id}", sandbox_show),
	WRITE("POST", "/v1/sandboxes/{sandbox_id}:start", SMALL, sandbox_start),
	WRITE("POST", "/v1/sandboxes/{sandbox_id}:restart", SMALL, sandbox_start),
	CHANGE("POST", "/v1/sandboxes/{sandbox_id}:retry", SMALL, sandbox_retry),
	CHANGE("POST", "/v1/sandboxes/{sandbox_id}:cancel", SMALL, sandbox_cancel),
	CHANGE("POST", "/v1/sandboxes/{sandbox_id}:stop", SMALL, sandbox_stop),
	CHANGE("DELETE", "/v1/sandboxes/{sandbox_id}", 0, sandbox_delete),
	READ("/v1/sandboxes/{sandbox_id}/console", console_show),
	READ("/v1/quotas/self", quota_own),
	READ("/v1/quotas/{tenant_id}", quota_show),
	WRITE("PUT", "/v1/quotas/{tenant_id}", SMALL, quota_put),
	WRITE("POST", "/v1/sandboxes/{sandbox_id}:attest", SMALL, attestation_create),
	READ("/v1/sandboxes/{sandbox_id}/attestations/{attestation_id}", attestation_show),
	{ "GET", "/v1/attestation-keys", WEB_PUBLIC, NULL, "db", 0, false, .handle = verdict_keys },
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
	LOCAL("GET", 0, false, tofu_state_get),
	LOCAL("POST", TOFU_STATE_BYTES, false, tofu_state_put),
	LOCAL("DELETE", 0, false, tofu_state_delete),
	LOCAL("LOCK", SMALL, true, tofu_state_lock),
	LOCAL("UNLOCK", SMALL, true, tofu_state_unlock),
	{ .method = NULL },
};

static const struct service_loop loops[] = {
	{ "sandboxes", "sandbox", 500, lifecycle_run, true },
	{ "admission", "sandbox", 1000, quota_admit, false },
	{ "pool", "sandbox", 1000, pool_run, false },
	{ "vtpms", NULL, 5000, vtpm_stock_run, false },
	{ "orphans", NULL, 30000, reconcile_run, false },
	{ NULL, NULL, 0, NULL, false },
};

static const char *local_listen(const void *program)
{
	const struct provisioner_conf *conf = program;

	return *conf->tofu ? conf->tofu_listen : "";
}

/* Who may send a body without a token of ours. */
static int admit(struct web_req *req, struct web_res *res, struct err *err)
{
	return strncmp(req->path, "/tofu/", 6) == 0 ? tofu_state_admit(req, res, err)
						    : enrolment_admit(req, res, err);
}

/* Root never runs a VM as itself. */
static int init(struct worker *worker, struct err *err)
{
	const struct provisioner_conf *conf = worker->program;

	if (geteuid() == 0 && vm_user_check(conf->sandbox_uid, err) < 0)
		return -1;
	if (driver_process_choose(worker->program, err) < 0)
		return -1;
	if (pool_check(conf->pool, err) < 0 || vtpm_check_ca(conf->vtpm_setup, err) < 0)
		return -1;
	if (conf->vtpm_stock > VTPM_STOCK_MAX)
		return err_set(err, ERR_INVALID, "sandbox.vtpm_stock",
			"vtpm_stock: %ld is more than %d", conf->vtpm_stock, VTPM_STOCK_MAX);
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
	.local_listen = local_listen,
	.admit = admit,
};

int main(int argc, char **argv)
{
	return service_main(&provisioner, argc, argv);
}
