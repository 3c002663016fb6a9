/* SPDX-License-Identifier: Apache-2.0 */
/* Spawning strongroom-relay with its two descriptors in place. */
#include "services/provisioner/vm_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/mem.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_user.h"

int vm_relay_start(const struct provisioner_conf *conf, const char *id, uid_t vm_uid,
	int low_listener, pid_t vm, struct err *err)
{
	auto_free char *uid = mem_printf("%u", vm_uid + VM_USERS);
	const char *argv[] = { conf->relay, "--to", conf->edge_address, "--sandbox", id,
		vm_is_root() ? "--uid" : NULL, uid, "--gid", uid, NULL };
	static char *const env[] = { NULL };
	posix_spawn_file_actions_t files;
	auto_fd int listener = vm_files_raise(dup(low_listener)), held = -1;
	int status = 0, rc;
	pid_t pid;

	held = vm_files_raise((int)syscall(SYS_pidfd_open, vm, 0));
	if (listener < 0 || held < 0)
		return err_errno(err, "hold the VM");
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&files, listener, 3);
	posix_spawn_file_actions_adddup2(&files, held, 4);
	rc = posix_spawn(&pid, conf->relay, &files, NULL, (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&files);
	errno = rc;
	if (rc != 0)
		return err_errno(err, "start %s", conf->relay);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status == 0 ? 0
			   : err_set(err, ERR_INTERNAL, "sandbox.relay", "the relay did not start");
}
