/* SPDX-License-Identifier: Apache-2.0 */
/* swtpm's arguments and what it sees of the host. It serves one connection, the VM's, and ends with
 * it; its own seccomp filter is on by default. */
#include <stdint.h>

#include "launcher/launch.h"
#include "lib/mem.h"

#define SWTPM "/usr/bin/swtpm"

int launch_vtpm_start(const struct launch_vtpm *vtpm, const struct launch_conf *conf,
	pid_t *ret_pid, struct err *err)
{
	const char *program = vtpm->swtpm ? vtpm->swtpm : SWTPM;
	auto_free char *state = mem_printf("dir=%s", vtpm->state);
	auto_free char *control = mem_printf(
		"type=unixio,%s=%d", vtpm->is_listening ? "fd" : "clientfd", LAUNCH_FILE);
	const char *const argv[] = { program, "socket", "--tpm2", "--tpmstate", state, "--ctrl",
		control, "--terminate", "--flags", "startup-clear", NULL };
	struct launch_conf caged = *conf;

	caged.argv = (char *const *)(uintptr_t)argv;
	caged.port = 0;
	caged.file = vtpm->socket;
	launch_show_program(&caged, program);
	launch_show(&caged, "--rw", vtpm->state);
	return launch_start(&caged, ret_pid, NULL, err);
}
