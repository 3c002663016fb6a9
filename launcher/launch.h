/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a sandbox's QEMU through strongroom-launch (main.c), for the provisioner. The VM gets a
 * root with no file that it does not need, and an empty network namespace; its one way out is a
 * listener on 127.0.0.1 in there, which QEMU's user network shows to the guest as 10.0.2.2 and
 * whose socket the caller gets: it accepts, and relays to the edge. The VM is no child of the
 * caller: after a restart it is found again by pid file, and the sandbox ends when the caller says
 * so (or its guest does).
 */
#ifndef STRONGROOM_LAUNCH_H
#define STRONGROOM_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"

#define LAUNCH_SECRET_NAME "opt/strongroom/enrolment" /* fw_cfg; agent/fwcfg.h reads it */
#define LAUNCH_CMDLINE                                                                             \
	"console=ttyS0 quiet panic=-1"	/* as deploy/guest/cmdline, which guest.json carries */
#define LAUNCH_GUEST_GATEWAY "10.0.2.2" /* initdata's edge.host */
#define LAUNCH_PORT 8443u		/* initdata's edge.port; not 443, which URLs leave out */

struct launch_vm {
	const char *qemu; /* NULL: "/usr/bin/qemu-system-x86_64" */
	const char *name; /* the sandbox's id */
	const char *kernel, *initrd;
	const char *cmdline;	  /* NULL: LAUNCH_CMDLINE */
	const char *folder;	  /* all of the host that it may write to */
	const char *console_file; /* in there; written by the guest: never trust its text */
	const char *secret_file;  /* in there; 0600, owned by the VM's user; NULL: none */
	unsigned memory_mib;
	bool kvm; /* launch_probe_kvm() said so */
};

#define LAUNCH_VIEW_MAX 40

struct launch_conf {
	const char *launcher; /* path of strongroom-launch */
	char *const *argv;    /* argv[0] is an absolute path */
	/* What the program sees of the host's files, as the launcher's options: "--ro", path,
	 * "--rw", path, "--dev", path; ends with NULL. */
	const char *view[LAUNCH_VIEW_MAX];
	const char *log_file; /* stdout and stderr of the program; NULL: /dev/null */
	unsigned port;	      /* of the listener on 127.0.0.1 in the namespace */
	bool switch_user;     /* to uid:gid, when the caller is root */
	uid_t uid;
	gid_t gid;
	long timeout_ms; /* until the program is executed; 0: 10000 */
};

/* Returns when the program has been executed. launch.failed says what the launcher could not do,
 * launch.timeout. The caller closes *ret_listener. */
int launch_start(const struct launch_conf *conf, pid_t *ret_pid, int *ret_listener, struct err *err)
	__attribute__((warn_unused_result));

/* QEMU's arguments, ended by NULL; free with launch_argv_free(). The secret's path stands in them,
 * never the secret. */
char **launch_qemu_argv(const struct launch_vm *vm);
void launch_argv_free(char **argv);

/* launch_start() of a VM; of `conf`, argv and view are filled in here. */
int launch_vm_start(const struct launch_vm *vm, const struct launch_conf *conf, pid_t *ret_pid,
	int *ret_listener, struct err *err) __attribute__((warn_unused_result));
/* /dev/kvm may exist and hang, or not be for that user: boots the guest in the same cage with
 * strongroom.probe=1 and believes it only when that has powered off by itself within the limit.
 * `vm` is the sandbox to come, with the plain initramfs as its initrd. */
bool launch_probe_kvm(const struct launch_vm *vm, const struct launch_conf *conf, long limit_ms);

/* The guest's initrd: the initramfs and the initdata behind it (lib/cpio.h). The bytes depend on
 * the two alone, so that a verifier can make them itself. Written like buf_write_file(). */
int launch_initrd_write(const char *initramfs, const void *initdata, size_t len, const char *path,
	struct err *err) __attribute__((warn_unused_result));

#endif
