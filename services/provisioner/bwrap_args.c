/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments and the filter of bwrap_args.h. */
#include "services/provisioner/bwrap_args.h"

#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/mem.h"

static void add(json_t *args, const char *const *texts)
{
	for (; *texts; texts++)
		json_array_append_new(args, json_string(*texts));
}
#define ADD(args, ...) add(args, (const char *const[]) { __VA_ARGS__, NULL })

/* The value of "key=value" among a mount's options. */
static const char *option_of(const json_t *mount, const char *key)
{
	size_t len = strlen(key), i;
	const json_t *option;

	json_array_foreach (json_object_get(mount, "options"), i, option) {
		const char *text = json_string_value(option);

		if (strncmp(text, key, len) == 0 && text[len] == '=')
			return text + len + 1;
	}
	return NULL;
}

static void add_tmpfs(json_t *args, const json_t *mount)
{
	const char *mode = option_of(mount, "mode"), *size = option_of(mount, "size");
	char *unit = NULL;
	unsigned long long bytes = strtoull(size, &unit, 10);
	auto_free char *exact = NULL;

	exact = mem_printf("%llu", *unit == 'm' ? bytes << 20 : *unit == 'k' ? bytes << 10 : bytes);
	ADD(args, "--perms", mode, "--size", exact, "--tmpfs", json_text(mount, "destination"));
}

/* runc makes these by itself. */
static void add_devices(json_t *args)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
		"/dev/urandom", "/dev/tty" };

	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		ADD(args, "--dev-bind", devices[i], devices[i]);
	ADD(args, "--symlink", "/proc/self/fd", "/dev/fd");
}

static void add_mounts(json_t *args, const json_t *mounts)
{
	const json_t *mount;
	size_t i;

	json_array_foreach (mounts, i, mount) {
		const char *target = json_text(mount, "destination");

		if (json_text_is(mount, "type", "proc"))
			ADD(args, "--proc", target);
		else if (json_text_is(mount, "type", "tmpfs"))
			add_tmpfs(args, mount);
		else
			ADD(args, "--ro-bind", json_text(mount, "source"), target);
	}
	add_devices(args);
}

static void add_process(json_t *args, const json_t *process)
{
	const json_t *one, *capabilities = json_object_get(process, "capabilities");
	size_t i;

	ADD(args, "--cap-drop", "ALL");
	json_array_foreach (json_object_get(capabilities, "bounding"), i, one)
		ADD(args, "--cap-add", json_string_value(one));
	ADD(args, "--clearenv");
	json_array_foreach (json_object_get(process, "env"), i, one) {
		const char *text = json_string_value(one), *value = strchr(text, '=') + 1;
		auto_free char *name = mem_strndup(text, (size_t)(value - 1 - text));

		ADD(args, "--setenv", name, value);
	}
	ADD(args, "--chdir", json_text(process, "cwd"), "--");
	json_array_extend(args, json_object_get(process, "args"));
}

json_t *bwrap_args(const char *program, const json_t *config, const char *folder, const char *id)
{
	auto_free char *root = mem_printf("%s/root", folder);
	auto_free char *filter = mem_printf("%d", BWRAP_FD_SECCOMP);
	auto_free char *info = mem_printf("%d", BWRAP_FD_INFO);
	json_t *args = json_array();

	ADD(args, program, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1",
		"--hostname", id, "--seccomp", filter, "--info-fd", info, "--ro-bind", root, "/");
	add_mounts(args, json_object_get(config, "mounts"));
	add_process(args, json_object_get(config, "process"));
	return args;
}

static int fill(scmp_filter_ctx filter, const json_t *names)
{
	const json_t *name;
	int rc = 0;
	size_t i;

	json_array_foreach (names, i, name) {
		int number = seccomp_syscall_resolve_name(json_string_value(name));

		if (number >= 0 && rc == 0) /* some are other processors' */
			rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
	}
	return rc;
}

int bwrap_seccomp(const json_t *config, int *ret_fd, struct err *err)
{
	const json_t *rules = json_object_get(
		json_object_get(json_object_get(config, "linux"), "seccomp"), "syscalls");
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	auto_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
	int rc = filter && fd >= 0 ? 0 : -ENOMEM;

	if (rc == 0)
		rc = fill(filter, json_object_get(json_array_get(rules, 0), "names"));
	if (rc == 0)
		rc = seccomp_export_bpf(filter, fd);
	if (filter)
		seccomp_release(filter);
	if (rc < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set(
			err, ERR_INTERNAL, "sandbox.bwrap", "system call filter: error %d", -rc);
	*ret_fd = take_fd(fd);
	return 0;
}
