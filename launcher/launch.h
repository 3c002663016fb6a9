/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a sandbox's QEMU and vTPM through strongroom-launch (main.c), for the provisioner. Each
 * gets a root with no file that it does not need, and an empty network namespace. The VM's one way
 * out is a listener on 127.0.0.1 in there, which QEMU's user network shows to the guest as 10.0.2.2
 * and whose socket the caller gets: it accepts, and relays to the edge. Neither is a child of the
 * caller: after a restart they are found again by pid file, and they end when the caller says so
 * (or their guest does). A VM with firmware and vTPM is measured: each step of its boot extends
 * PCRs of that TPM.
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
#define LAUNCH_FILE 4			/* launch_conf.file, as the program has it */

struct launch_vm {
	const char *qemu; /* NULL: "/usr/bin/qemu-system-x86_64" */
	const char *name; /* the sandbox's id */
	const char *kernel, *initrd;
	const char *cmdline;	  /* NULL: LAUNCH_CMDLINE */
	const char *folder;	  /* all of the host that it may write to */
	const char *console_file; /* in there; written by the guest: never trust its text */
	const char *secret_file;  /* in there; 0600, owned by the VM's user; NULL: none */
	const char *firmware;	  /* OVMF's code; NULL: SeaBIOS, and no vTPM */
	const char *vars;	  /* in the folder: OVMF's variables, a fresh copy for each boot */
	int tpm;		  /* with firmware: our end of the socket to swtpm */
	unsigned memory_mib, vcpus; /* of the latter at least 1 */
	bool kvm;		    /* launch_probe_kvm() said so */
};

struct launch_vtpm {
	const char *swtpm; /* NULL: "/usr/bin/swtpm" */
	const char *state; /* folder of the TPM's state: all of the host that it may write to */
	int socket;	   /* the other end of launch_vm.tpm; with it the TPM ends */
	bool is_listening; /* `socket` is where somebody else's QEMU will connect, once */
};

#define LAUNCH_VIEW_MAX 40

struct launch_conf {
	const char *launcher; /* path of strongroom-launch */
	char *const *argv;    /* argv[0] is an absolute path */
	/* What the program sees of the host's files, as the launcher's options: "--ro", path,
	 * "--rw", path, "--dev", path; ends with NULL. */
	const char *view[LAUNCH_VIEW_MAX];
	const char *log_file; /* stdout and stderr of the program; NULL: /dev/null */
	unsigned port;	      /* of the listener on 127.0.0.1 in the namespace; 0: none */
	int file;	      /* the program has it as LAUNCH_FILE; 0: none */
	bool switch_user;     /* to uid:gid, when the caller is root */
	uid_t uid;
	gid_t gid;
	long timeout_ms; /* until the program is executed; 0: 10000 */
};

/* Returns when the program has been executed. launch.failed says what the launcher could not do,
 * launch.timeout. The caller closes *ret_listener; without a port it may be NULL. */
int launch_start(const struct launch_conf *conf, pid_t *ret_pid, int *ret_listener, struct err *err)
	__attribute__((warn_unused_result));

/* Adds to conf->view: a path, and a program with the libraries of the host. */
void launch_show(struct launch_conf *conf, const char *option, const char *path);
void launch_show_program(struct launch_conf *conf, const char *program);

/* QEMU's arguments, ended by NULL; free with launch_argv_free(). The secret's path stands in them,
 * never the secret. */
char **launch_qemu_argv(const struct launch_vm *vm);
void launch_argv_free(char **argv);

/* launch_start() of a VM; of `conf`, argv and view are filled in here. */
int launch_vm_start(const struct launch_vm *vm, const struct launch_conf *conf, pid_t *ret_pid,
	int *ret_listener, struct err *err) __attribute__((warn_unused_result));
/* launch_start() of a sandbox's swtpm; of `conf`, argv, view, port and file are filled in here. */
int launch_vtpm_start(const struct launch_vtpm *vtpm, const struct launch_conf *conf,
	pid_t *ret_pid, struct err *err) __attribute__((warn_unused_result));
/* launch_start() of a QEMU without a machine: of one VM that somebody else runs, the network card's
 * frames come over the socket that listens as conf->file, and leave as those of launch_vm_start()
 * do. Of `conf`, argv and view are filled in here. */
int launch_switch_start(const char *name, const struct launch_conf *conf, pid_t *ret_pid,
	int *ret_listener, struct err *err) __attribute__((warn_unused_result));
/* /dev/kvm may exist and hang, or not be for that user: boots the guest in the same cage with
 * strongroom.probe=1 and believes it only when that has powered off by itself within the limit.
 * `vm` is the sandbox to come, with the plain initramfs as its initrd. */
bool launch_probe_kvm(const struct launch_vm *vm, const struct launch_conf *conf, long limit_ms);

/* The guest's initrd: the initramfs and the initdata behind it (lib/cpio.h). The bytes depend on
 * the two alone, so that a verifier can make them itself. For a boot that begins behind it. */
int launch_initrd_write(const char *initramfs, const void *initdata, size_t len, const char *path,
	struct err *err) __attribute__((warn_unused_result));

#endif
