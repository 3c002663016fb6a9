/* SPDX-License-Identifier: Apache-2.0 */
/* swtpm_setup and swtpm. The state is made beside its place and renamed there, so that what is
 * there is whole. */
#include "services/provisioner/vtpm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/launch.h"
#include "lib/id.h"
#include "lib/mem.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_process.h"
#include "services/provisioner/vtpm_stock.h"

#define SETUP "/usr/bin/swtpm_setup"
#define SETUP_MS 30000
#define BACKGROUND 10 /* niceness of what nobody waits for */

static int manufacturing_failed(const char *why, struct err *err)
{
	return err_set(err, ERR_INTERNAL, "sandbox.vtpm",
		"the vTPM could not be manufactured (%s); the sandbox's vtpm.log says more", why);
}

/* Its helpers find each other by PATH and put what they need for a moment into TMPDIR. */
static int spawn_setup(const struct vtpm *vtpm, const char *state, pid_t *ret_pid, struct err *err)
{
	auto_free char *log = mem_printf("%s/vtpm.log", vtpm->folder);
	auto_free char *temporary = mem_printf("TMPDIR=%s", state);
	const char *const argv[] = { SETUP, "--tpm2", "--tpmstate", state, "--config",
		vtpm->conf->vtpm_setup, "--create-ek-cert", "--lock-nvram", "--overwrite", "--vmid",
		vtpm->sandbox_id, geteuid() == 0 ? "--runas" : NULL, "root", NULL };
	const char *const env[] = { "PATH=/usr/bin:/bin", "LANG=C.UTF-8", temporary, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none;
	int rc;

	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(
		&files, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
	rc = posix_spawn(ret_pid, SETUP, &files, &attributes, (char *const *)(uintptr_t)argv,
		(char *const *)(uintptr_t)env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return rc == 0 ? 0 : manufacturing_failed(strerror(rc), err);
}

/* It and its helpers are a process group. */
static int wait_setup(pid_t pid, struct err *err)
{
	bool has_ended = vm_process_ends(pid, SETUP_MS);
	int status = 0;
	pid_t ended;

	if (!has_ended)
		kill(-pid, SIGKILL);
	while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		continue;
	if (!has_ended)
		return manufacturing_failed("no end in 30 s", err);
	return ended == pid && status == 0 ? 0 : manufacturing_failed("swtpm_setup failed", err);
}

/* The value behind "key =" in such a file; the caller frees. NULL: it is not there. */
static char *setting(const char *path, const char *key)
{
	auto_file FILE *file = fopen(path, "re");
	char line[1024], name[64], value[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, " %63[a-z_] = %511s", name, value) == 2 && strcmp(name, key) == 0)
			return mem_strdup(value);
	}
	return NULL;
}

int vtpm_check_ca(const char *vtpm_setup, struct err *err)
{
	static const char *const keys[] = { "signingkey", "issuercert" };
	auto_free char *localca = setting(vtpm_setup, "create_certs_tool_config");

	if (!localca)
		return err_set(err, ERR_INVALID, "sandbox.vtpm_ca",
			"'%s' names no create_certs_tool_config", vtpm_setup);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		auto_free char *file = setting(localca, keys[i]);

		if (!file || access(file, R_OK) < 0)
			return err_set(err, ERR_INVALID, "sandbox.vtpm_ca",
				"'%s': '%s' is not there: %s", localca, keys[i],
				file ? file : "not named");
	}
	return 0;
}

char *vtpm_issuer(const char *vtpm_setup)
{
	auto_free char *localca = setting(vtpm_setup, "create_certs_tool_config");

	return localca ? setting(localca, "issuercert") : NULL;
}

int vtpm_manufacture(
	const struct vtpm *vtpm, const char *state, bool is_background, struct err *err)
{
	pid_t pid;

	if (vtpm_check_ca(vtpm->conf->vtpm_setup, err) < 0 ||
		spawn_setup(vtpm, state, &pid, err) < 0)
		return -1;
	if (is_background)
		(void)setpriority(PRIO_PGRP, (id_t)pid, BACKGROUND);
	return wait_setup(pid, err);
}

/* The one that waits for this sandbox, or a new one; either only under a CA that is whole. */
static int obtain(const struct vtpm *vtpm, const char *state, struct err *err)
{
	if (vtpm_check_ca(vtpm->conf->vtpm_setup, err) < 0)
		return -1;
	if (vtpm_stock_move(vtpm->conf, vtpm->sandbox_id, state))
		return 0;
	return vm_files_folder(state, 0700, err) < 0 ? -1
						     : vtpm_manufacture(vtpm, state, false, err);
}

int vtpm_make(const struct vtpm *vtpm, struct err *err)
{
	auto_free char *state = mem_printf("%s/tpm", vtpm->folder);
	auto_free char *fresh = mem_printf("%s/tpm.new", vtpm->folder);

	if (access(state, F_OK) == 0)
		return 0;
	if (vm_files_remove(fresh, err) < 0 || obtain(vtpm, fresh, err) < 0 ||
		(geteuid() == 0 && vm_files_give(fresh, vtpm->uid, err) < 0))
		return -1;
	return rename(fresh, state) < 0 ? err_errno(err, "rename '%s'", fresh) : 0;
}

/* swtpm's state, note and arguments; freed by process_release(). */
struct process {
	char *state, *note, *value;
	struct vm_process vm;
};

static void process_init(struct process *process, const struct vtpm *vtpm)
{
	process->state = mem_printf("%s/tpm", vtpm->folder);
	process->note = mem_printf("%s/swtpm.pid", vtpm->folder);
	process->value = mem_printf("dir=%s", process->state);
	process->vm = (struct vm_process) { process->note, "/swtpm", "--tpmstate", process->value };
}

static void process_release(struct process *process)
{
	free(process->state);
	free(process->note);
	free(process->value);
}
#define auto_process __attribute__((cleanup(process_release))) struct process

static int start(const struct vtpm *vtpm, const struct process *process, int theirs,
	bool is_listening, struct err *err)
{
	auto_free char *log = mem_printf("%s/swtpm.log", vtpm->folder);
	const struct launch_vtpm tpm = {
		.state = process->state, .socket = theirs, .is_listening = is_listening
	};
	const struct launch_conf launch = { .launcher = vtpm->conf->launcher,
		.log_file = log,
		.switch_user = geteuid() == 0,
		.uid = vtpm->uid,
		.gid = (gid_t)vtpm->uid };
	pid_t pid;

	if (launch_vtpm_start(&tpm, &launch, &pid, err) < 0)
		return -1;
	return vm_process_note(process->note, pid, err);
}

int vtpm_start(const struct vtpm *vtpm, int *ret_socket, struct err *err)
{
	auto_fd int ours = -1, theirs = -1;
	auto_process process;
	int pair[2];

	process_init(&process, vtpm);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, "socketpair");
	ours = vm_files_raise(pair[0]);
	theirs = vm_files_raise(pair[1]);
	if (ours < 0 || theirs < 0)
		return err_errno(err, "hold the vTPM's socket");
	if (start(vtpm, &process, theirs, false, err) < 0)
		return -1;
	*ret_socket = take_fd(ours);
	return 0;
}

int vtpm_listen(const struct vtpm *vtpm, const char *socket_path, uid_t user, struct err *err)
{
	struct sockaddr_un where = { .sun_family = AF_UNIX };
	auto_fd int fd = vm_files_raise(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	auto_process process;

	process_init(&process, vtpm);
	if (strlen(socket_path) >= sizeof(where.sun_path))
		return err_set(err, ERR_INTERNAL, "sandbox.vtpm",
			"sandboxes_dir is too long a path for the vTPM's socket");
	memcpy(where.sun_path, socket_path, strlen(socket_path));
	if (fd < 0 || bind(fd, (const struct sockaddr *)&where, sizeof(where)) < 0 ||
		chmod(socket_path, 0600) < 0 || listen(fd, 1) < 0)
		return err_errno(err, "listen at '%s'", socket_path);
	if (geteuid() == 0 && lchown(socket_path, user, (gid_t)user) < 0)
		return err_errno(err, "give '%s' to the VM's user", socket_path);
	return start(vtpm, &process, fd, true, err);
}

int vtpm_is_gone(const struct vtpm *vtpm, bool *ret_gone, struct err *err)
{
	auto_process process;
	pid_t pid;

	process_init(&process, vtpm);
	*ret_gone = false;
	if (access(process.state, F_OK) < 0)
		return 0;
	if (vm_process_find(&process.vm, &pid, err) < 0)
		return -1;
	*ret_gone = pid == 0;
	return 0;
}

int vtpm_end(const struct vtpm *vtpm, struct err *err)
{
	auto_process process;

	process_init(&process, vtpm);
	return vm_process_end(&process.vm, err);
}
