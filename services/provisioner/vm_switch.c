/* SPDX-License-Identifier: Apache-2.0 */
/* The switch as a process of the sandbox: its note is switch.pid, its log switch.log. */
#include "services/provisioner/vm_switch.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/mem.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vm_process.h"
#include "services/provisioner/vm_relay.h"

static char *note_of(const struct driver_place *place)
{
	return mem_printf("%s/switch.pid", place->folder);
}

/* libvirt names its QEMU "guest=ID,…": this is none of them. */
static struct vm_process process_of(const struct driver_place *place, const char *note)
{
	return (struct vm_process) { note, "qemu-system", "-name", place->sandbox_id };
}

static int listen_somewhere(unsigned *ret_port, int *ret_fd, struct err *err)
{
	struct sockaddr_in where = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_fd int fd = vm_files_raise(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	socklen_t len = sizeof(where);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&where, len) < 0 || listen(fd, 1) < 0 ||
		getsockname(fd, (struct sockaddr *)&where, &len) < 0)
		return err_errno(err, "listen for the VM's network card");
	*ret_port = ntohs(where.sin_port);
	*ret_fd = take_fd(fd);
	return 0;
}

int vm_switch_start(const struct driver_place *place, unsigned *ret_port, struct err *err)
{
	auto_free char *log = mem_printf("%s/switch.log", place->folder), *note = note_of(place);
	struct launch_conf cage = vm_boot_cage(place, log);
	auto_fd int cards = -1, listener = -1;
	pid_t pid;

	if (listen_somewhere(ret_port, &cards, err) < 0)
		return -1;
	cage.file = cards;
	if (launch_switch_start(place->sandbox_id, &cage, &pid, &listener, err) < 0 ||
		vm_process_note(note, pid, err) < 0)
		return -1;
	return vm_relay_start(place->conf, place->sandbox_id, place->uid, listener, pid, err);
}

int vm_switch_lives(const struct driver_place *place, bool *ret_lives, struct err *err)
{
	auto_free char *note = note_of(place);
	const struct vm_process process = process_of(place, note);
	pid_t pid;

	if (vm_process_find(&process, &pid, err) < 0)
		return -1;
	*ret_lives = pid > 0;
	return 0;
}

int vm_switch_end(const struct driver_place *place, struct err *err)
{
	auto_free char *note = note_of(place);
	const struct vm_process process = process_of(place, note);

	return vm_process_end(&process, err);
}
