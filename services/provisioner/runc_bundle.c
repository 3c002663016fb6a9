/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of runc_bundle.h, and what it points to. */
#include "services/provisioner/runc_bundle.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "services/provisioner/vm_files.h"

#define AGENT_MAX (64u << 20)
#define PIDS_MAX 4096
#define TEXTS(...) texts((const char *const[]) { __VA_ARGS__, NULL })

static json_t *texts(const char *const *list)
{
	json_t *array = json_array();

	for (; *list; list++)
		json_array_append_new(array, json_string(*list));
	return array;
}

/* What the agent's cage for apps is made with; within the user namespace only. */
#define CAPABILITY(name)                                                                           \
	{                                                                                          \
#name, name                                                                        \
	}
static const struct {
	const char *name;
	unsigned number;
} known[] = {
	CAPABILITY(CAP_CHOWN),
	CAPABILITY(CAP_DAC_OVERRIDE),
	CAPABILITY(CAP_FOWNER),
	CAPABILITY(CAP_FSETID),
	CAPABILITY(CAP_KILL),
	CAPABILITY(CAP_NET_ADMIN),
	CAPABILITY(CAP_SETFCAP),
	CAPABILITY(CAP_SETGID),
	CAPABILITY(CAP_SETPCAP),
	CAPABILITY(CAP_SETUID),
	CAPABILITY(CAP_SYS_ADMIN),
	CAPABILITY(CAP_SYS_CHROOT),
	CAPABILITY(CAP_SYS_RESOURCE),
};

uint64_t runc_bundle_capabilities(void)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		bits |= UINT64_C(1) << known[i].number;
	return bits;
}

static json_t *capabilities(void)
{
	auto_json json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		json_array_append_new(list, json_string(known[i].name));
	return json_pack("{s:O,s:O,s:O}", "bounding", list, "effective", list, "permitted", list);
}

static json_t *process(void)
{
	return json_pack("{s:b,s:{s:i,s:i},s:o,s:o,s:s,s:o,s:b,s:[{s:s,s:i,s:i}]}", "terminal", 0,
		"user", "uid", 0, "gid", 0, "args",
		TEXTS("/agent", "--initdata", "/etc/strongroom/initdata.json", "--secret-file",
			"/etc/strongroom/secret", "--work", "/run/work"),
		"env", TEXTS("PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"), "cwd", "/", "capabilities",
		capabilities(), "noNewPrivileges", 1, "rlimits", "type", "RLIMIT_CORE", "hard", 0,
		"soft", 0);
}

static void add_mount(
	json_t *mounts, const char *type, const char *source, const char *target, json_t *options)
{
	json_array_append_new(mounts, json_pack("{s:s,s:s,s:s,s:o}", "type", type, "source", source,
					      "destination", target, "options", options));
}

static void add_read_only(json_t *mounts, const char *source, const char *target)
{
	add_mount(mounts, "bind", source, target, TEXTS("rbind", "ro", "nosuid", "nodev"));
}

static json_t *mounts_of(const struct runc_bundle *bundle, long long memory)
{
	auto_free char *work = mem_printf("size=%lld", memory / 4 * 3);
	auto_free char *etc = mem_printf("%s/etc", bundle->folder);
	static const char *const system[] = { "/usr", "/lib", "/lib64" };
	json_t *mounts = json_array();

	add_mount(mounts, "proc", "proc", "/proc", TEXTS("nosuid", "nodev", "noexec"));
	add_mount(mounts, "tmpfs", "tmpfs", "/dev",
		TEXTS("nosuid", "strictatime", "mode=755", "size=64k"));
	add_mount(mounts, "tmpfs", "tmpfs", "/tmp",
		TEXTS("nosuid", "nodev", "noexec", "mode=700", "size=16m"));
	add_mount(mounts, "tmpfs", "tmpfs", "/run",
		TEXTS("nosuid", "nodev", "noexec", "mode=755", "size=1m"));
	add_mount(
		mounts, "tmpfs", "tmpfs", "/run/work", TEXTS("nosuid", "nodev", "mode=755", work));
	add_read_only(mounts, etc, "/etc/strongroom");
	for (size_t i = 0; i < ARRAY_LEN(system); i++) {
		if (access(system[i], F_OK) == 0)
			add_read_only(mounts, system[i], system[i]);
	}
	return mounts;
}

/* Allowed is what is not here: the agent builds its apps' cage with mounts and namespaces, and the
 * apps have a closed list of their own (agent/jail_seccomp.c). */
static json_t *seccomp(void)
{
	return json_pack("{s:s,s:[s],s:[{s:o,s:s,s:i}]}", "defaultAction", "SCMP_ACT_ALLOW",
		"architectures", "SCMP_ARCH_X86_64", "syscalls", "names",
		TEXTS("acct", "add_key", "adjtimex", "bpf", "clock_adjtime", "clock_settime",
			"delete_module", "fanotify_init", "finit_module", "init_module",
			"io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl",
			"kcmp", "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie",
			"move_pages", "name_to_handle_at", "nfsservctl", "open_by_handle_at",
			"perf_event_open", "pidfd_getfd", "process_vm_readv", "process_vm_writev",
			"ptrace", "quotactl", "reboot", "request_key", "setns", "settimeofday",
			"stime", "swapoff", "swapon", "syslog", "userfaultfd", "vhangup"),
		"action", "SCMP_ACT_ERRNO", "errnoRet", EPERM);
}

static json_t *id_map(uid_t agent, uid_t app)
{
	return json_pack("[{s:i,s:I,s:i},{s:I,s:I,s:I}]", "containerID", 0, "hostID",
		(json_int_t)agent, "size", 1, "containerID", (json_int_t)RUNC_APP_FIRST, "hostID",
		(json_int_t)app, "size", (json_int_t)RUNC_APP_COUNT);
}

static json_t *linux_of(const struct runc_bundle *bundle, long long memory)
{
	static const char *const kinds[] = { "pid", "network", "ipc", "uts", "mount", "user" };
	auto_free char *group = mem_printf("/" RUNC_CGROUP, bundle->spec->sandbox_id);
	json_t *namespaces = json_array();

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		json_array_append_new(namespaces, json_pack("{s:s}", "type", kinds[i]));
	return json_pack("{s:o,s:o,s:s,s:{s:{s:I},s:{s:i}},s:o,s:o}", "uidMappings",
		id_map(bundle->uid, bundle->app_uid), "gidMappings",
		id_map(bundle->uid, bundle->app_uid), "cgroupsPath", group, "resources", "memory",
		"limit", (json_int_t)memory, "pids", "limit", PIDS_MAX, "namespaces", namespaces,
		"seccomp", seccomp());
}

json_t *runc_bundle_config(const struct runc_bundle *bundle)
{
	long long memory =
		json_integer_value(json_object_get(bundle->spec->parameters, "memory_mib")) << 20;

	return json_pack("{s:s,s:o,s:{s:s,s:b},s:s,s:o,s:o}", "ociVersion", "1.0.2", "process",
		process(), "root", "path", "root", "readonly", 1, "hostname", "sandbox", "mounts",
		mounts_of(bundle, memory), "linux", linux_of(bundle, memory));
}

static int make_root(const char *folder, struct err *err)
{
	static const char *const folders[] = { "", "/proc", "/dev", "/tmp", "/run", "/sys", "/etc",
		"/etc/strongroom", "/usr", "/lib", "/lib64" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		auto_free char *path = mem_printf("%s/root%s", folder, folders[i]);

		if (vm_files_folder(path, 0755, err) < 0)
			return -1;
	}
	return 0;
}

static int copy_agent(const struct runc_bundle *bundle, struct err *err)
{
	auto_free char *path = mem_printf("%s/root/agent", bundle->folder);
	auto_buf program = BUF_INIT(AGENT_MAX);

	if (buf_read_file(&program, bundle->agent, err) < 0)
		return -1;
	return buf_replace_file(path, program.data, program.len, 0755, err);
}

int runc_bundle_write(const struct runc_bundle *bundle, struct err *err)
{
	auto_free char *etc = mem_printf("%s/etc", bundle->folder);
	auto_free char *initdata = mem_printf("%s/initdata.json", etc);
	auto_free char *secret = mem_printf("%s/secret", etc);
	auto_free char *config = mem_printf("%s/config.json", bundle->folder), *text = NULL;
	auto_json json_t *document = runc_bundle_config(bundle);
	size_t len;

	if (make_root(bundle->folder, err) < 0 || vm_files_folder(etc, 0711, err) < 0 ||
		copy_agent(bundle, err) < 0 ||
		vm_files_make(initdata, bundle->spec->initdata, strlen(bundle->spec->initdata),
			bundle->uid, err) < 0 ||
		vm_files_make(secret, bundle->spec->enrolment_secret,
			strlen(bundle->spec->enrolment_secret), bundle->uid, err) < 0)
		return -1;
	text = json_encode(document, &len);
	return buf_replace_file(config, text, len, 0600, err);
}
