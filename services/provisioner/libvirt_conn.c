/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt's own loop in a thread, which the embedded driver and the watch over the daemon need. */
#include "services/provisioner/libvirt_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "services/provisioner/libvirt_load.h"
#include "services/provisioner/vm_files.h"

#define DAEMON_SOCKET "/run/libvirt/libvirt-sock"
#define DAEMON_URI "qemu:///system"
#define WATCH_S 5 /* between two signs of life */
#define WATCH_TIMES 6

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static virConnectPtr shared;
static int embedded = -1; /* the lock of the folder of a libvirt within this process */
static bool is_loaded;	  /* behind `once` */

static void *run_loop(void *arg)
{
	(void)arg;
	while (vir.EventRunDefaultImpl() == 0)
		continue;
	return NULL;
}

static void on_error(void *arg, virErrorPtr error)
{
	(void)arg;
	(void)error; /* it comes back to us as an error value, and is told once there */
}

static void start_loop(void)
{
	pthread_attr_t detached;
	pthread_t thread;

	is_loaded = libvirt_load();
	if (!is_loaded)
		return;
	vir.SetErrorFunc(NULL, on_error);
	if (vir.Initialize() < 0 || vir.EventRegisterDefaultImpl() < 0)
		return;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &detached, run_loop, NULL) != 0)
		log_warn("libvirt's loop could not be started", NULL);
	pthread_attr_destroy(&detached);
}

/* Its folder: that which a sandbox's QEMU has to pass through, whatever our umask is, and what it
 * would else ask a daemon of its own for: virtlogd keeps consoles. */
static int prepare_embedded(const struct provisioner_conf *conf, const char *root, struct err *err)
{
	static const char text[] = "stdio_handler = \"file\"\n";
	static const char *const folders[] = { "", "/etc", "/lib", "/lib/qemu" };
	auto_free char *all = mem_printf("%s/libvirt", conf->sandboxes_dir);
	auto_free char *file = mem_printf("%s/etc/qemu.conf", root);

	if (vm_files_folder(conf->sandboxes_dir, 0711, err) < 0 ||
		vm_files_folder(all, 0711, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		auto_free char *folder = mem_printf("%s%s", root, folders[i]);

		if (vm_files_folder(folder, 0711, err) < 0)
			return -1;
	}
	return buf_write_file(file, text, strlen(text), 0644, err);
}

/* One process at a time, until its end. libvirt would refuse a second one as well, but never be
 * whole again in it, and lose memory with each attempt. */
static int lock_embedded(const char *root, struct err *err)
{
	auto_free char *path = mem_printf("%s/.lock", root);
	auto_fd int fd = -1;

	if (embedded >= 0)
		return 0;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? err_set(err, ERR_UNAVAILABLE, "libvirt.in_use",
					 "another copy of this service has libvirt within it")
			       : err_errno(err, "lock '%s'", path);
	embedded = take_fd(fd);
	return 0;
}

/* The caller frees; NULL with `err`. */
static char *uri_of(const struct provisioner_conf *conf, struct err *err)
{
	auto_free char *root = mem_printf("%s/libvirt/.embed", conf->sandboxes_dir);

	if (*conf->libvirt_uri)
		return mem_strdup(conf->libvirt_uri);
	if (access(DAEMON_SOCKET, F_OK) == 0)
		return mem_strdup(DAEMON_URI);
	if (prepare_embedded(conf, root, err) < 0 || lock_embedded(root, err) < 0)
		return NULL;
	return mem_printf("qemu:///embed?root=%s", root);
}

bool libvirt_conn_is_there(const struct provisioner_conf *conf)
{
	auto_free char *folder = mem_printf("%s/libvirt", conf->sandboxes_dir);

	return *conf->libvirt_uri || access(folder, F_OK) == 0;
}

int libvirt_conn_failed(struct err *err, const char *what)
{
	const virError *error = vir.GetLastError();
	const char *text = error && error->message ? error->message : "no reason given";
	int number = error ? error->code : VIR_ERR_INTERNAL_ERROR;

	if (number == VIR_ERR_RPC || number == VIR_ERR_INVALID_CONN ||
		(error && error->domain == VIR_FROM_RPC))
		return err_set(
			err, ERR_UNAVAILABLE, "libvirt.unreachable", "%s: %.180s", what, text);
	if (number == VIR_ERR_CONFIG_UNSUPPORTED || number == VIR_ERR_XML_INVALID_SCHEMA ||
		number == VIR_ERR_XML_ERROR || number == VIR_ERR_XML_DETAIL ||
		number == VIR_ERR_NO_SUPPORT)
		return err_set(err, ERR_INTERNAL, "libvirt.unsupported", "%s: %.180s", what, text);
	return err_set(err, ERR_INTERNAL, "libvirt.failed", "%s: %.180s", what, text);
}

static virConnectPtr open_new(const struct provisioner_conf *conf, struct err *err)
{
	auto_free char *uri = uri_of(conf, err);
	virConnectPtr virt;

	if (!uri)
		return NULL;
	virt = vir.ConnectOpen(uri);
	if (!virt) {
		err_set(err, ERR_UNAVAILABLE, "libvirt.unreachable", "%s: %.180s", uri,
			vir.GetLastErrorMessage());
		return NULL;
	}
	(void)vir.ConnectSetKeepAlive(virt, WATCH_S, WATCH_TIMES); /* the embedded one has none */
	log_info("connected to libvirt", "uri", uri, NULL);
	return virt;
}

int libvirt_conn_get(const struct provisioner_conf *conf, virConnectPtr *ret_virt, struct err *err)
{
	int r = 0;

	pthread_once(&once, start_loop);
	if (!is_loaded)
		return err_set(err, ERR_UNAVAILABLE, "libvirt.missing",
			"libvirt could not be loaded on this host");
	pthread_mutex_lock(&mutex);
	if (shared && vir.ConnectIsAlive(shared) != 1) {
		vir.ConnectClose(shared);
		shared = NULL;
	}
	if (!shared)
		shared = open_new(conf, err);
	if (!shared || vir.ConnectRef(shared) < 0)
		r = -1;
	else
		*ret_virt = shared;
	pthread_mutex_unlock(&mutex);
	return r;
}

void libvirt_conn_cleanup(virConnectPtr *virt)
{
	if (*virt)
		vir.ConnectClose(*virt);
}

void libvirt_domain_cleanup(virDomainPtr *domain)
{
	if (*domain)
		vir.DomainFree(*domain);
}
