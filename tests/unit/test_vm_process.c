/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's processes are found and ended although they say of themselves what they like. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/mem.h"
#include "services/provisioner/vm_process.h"
#include "tests/unit/check.h"

#define ID "sbx_0197a000-0000-7000-8000-00000000test"

static char note[] = "/tmp/test_vm_process.XXXXXX";
static const struct vm_process vm_process = { note, "qemu-system", "-name", ID };

/* A process whose arguments begin with `first` and say -name ID, or do not. */
static pid_t start(const char *first, bool is_named)
{
	int ready[2];
	pid_t pid;
	char byte;

	CHECK(pipe2(ready, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", first, "-c", "while :; do sleep 1; done",
			is_named ? "-name" : "-not", ID, NULL);
		_exit(1);
	}
	close(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 0); /* it was executed */
	close(ready[0]);
	return pid;
}

static bool was_killed(pid_t pid)
{
	int status = 0;
	pid_t ended = waitpid(pid, &status, WNOHANG);

	return ended == pid && WIFSIGNALED(status);
}

static void put_away(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* What a compromised QEMU can do: its arguments no longer name the sandbox. */
static void test_noted_by_another_name(void)
{
	pid_t pid = start("nobody", false), found = 0;
	struct err err = { 0 };

	CHECK(vm_process_note(note, pid, &err) == 0);
	CHECK(vm_process_find(&vm_process, &found, &err) == 0 && found == pid);
	CHECK(vm_process_end(&vm_process, &err) == 0);
	CHECK(vm_process_find(&vm_process, &found, &err) == 0 && found == 0); /* a zombie still */
	CHECK(was_killed(pid));
}

/* One that took the name of another sandbox's VM does not die in its place. */
static void test_all_of_a_name(void)
{
	pid_t vm = start("qemu-system-x86_64", true), other = start("qemu-system-x86_64", true);
	pid_t launcher = start("strongroom-launch qemu-system", true);
	struct err err = { 0 };

	CHECK(vm_process_note(note, vm, &err) == 0);
	CHECK(vm_process_end(&vm_process, &err) == 0);
	CHECK(was_killed(vm) && was_killed(other) && was_killed(launcher));
}

/* The pid in a note belongs to somebody else by now. */
static void test_pid_used_again(void)
{
	pid_t pid = start("nobody", false), found = 0;
	auto_free char *stale = mem_printf("%d 1 00000000-0000-0000-0000-000000000000\n", pid);
	auto_free char *old = mem_printf("%d\n", pid);
	struct err err = { 0 };

	CHECK(buf_write_file(note, stale, strlen(stale), 0644, &err) == 0);
	CHECK(vm_process_find(&vm_process, &found, &err) == 0 && found == 0);
	CHECK(buf_write_file(note, old, strlen(old), 0644, &err) == 0);
	CHECK(vm_process_end(&vm_process, &err) == 0);
	CHECK(!was_killed(pid));
	put_away(pid);
}

int main(void)
{
	int fd = mkstemp(note);

	CHECK(fd >= 0);
	close(fd);
	test_noted_by_another_name();
	test_all_of_a_name();
	test_pid_used_again();
	unlink(note);
	CHECK_DONE();
}
