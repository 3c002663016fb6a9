/* SPDX-License-Identifier: Apache-2.0 */
/* A thread of its own enters the namespace and ends there: no other one ever leaves the host's. */
#include "services/provisioner/vm_netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/mem.h"

struct visit {
	int namespace, listener, error;
	struct sockaddr_in where;
};

static int address_up(const char *name, const struct sockaddr_in *address)
{
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { 0 };

	memcpy(req.ifr_name, name, strlen(name) + 1);
	memcpy(&req.ifr_addr, address, sizeof(*address));
	if (fd < 0 || (address->sin_addr.s_addr && ioctl(fd, SIOCSIFADDR, &req) < 0))
		return -1;
	req.ifr_flags = IFF_UP | IFF_RUNNING;
	return ioctl(fd, SIOCSIFFLAGS, &req);
}

static int listen_at(const struct sockaddr_in *where)
{
	auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)where, sizeof(*where)) < 0 ||
		listen(fd, 64) < 0)
		return -1;
	return take_fd(fd);
}

static void *visit_main(void *arg)
{
	struct sockaddr_in none = { .sin_family = AF_INET }, address;
	struct visit *visit = arg;

	address = visit->where;
	address.sin_port = 0;
	if (setns(visit->namespace, CLONE_NEWNET) < 0 || address_up("lo", &none) < 0 ||
		address_up("lo:1", &address) < 0 ||
		(visit->listener = listen_at(&visit->where)) < 0)
		visit->error = errno;
	return NULL;
}

int vm_netns_listen(
	pid_t pid, const char *address, unsigned port, int *ret_listener, struct err *err)
{
	auto_free char *path = mem_printf("/proc/%d/ns/net", (int)pid);
	auto_fd int namespace = open(path, O_RDONLY | O_CLOEXEC);
	struct visit visit = { .namespace = namespace,
		.listener = -1,
		.where = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) } };
	pthread_t thread;

	if (namespace < 0 || inet_pton(AF_INET, address, &visit.where.sin_addr) != 1)
		return err_errno(err, "open %s", path);
	errno = pthread_create(&thread, NULL, visit_main, &visit);
	if (errno != 0)
		return err_errno(err, "start a thread");
	pthread_join(thread, NULL);
	errno = visit.error;
	if (errno != 0)
		return err_errno(err, "listen inside the sandbox");
	*ret_listener = visit.listener;
	return 0;
}
