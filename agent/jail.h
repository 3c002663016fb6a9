/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cage an app runs in. The app is an adversary (trust.md 5): it gets pid, mount, network, ipc,
 * uts, cgroup and user namespaces of its own; its root is an unprivileged user outside; no
 * capability, no privilege by exec, a list of allowed system calls; the image, which it may change
 * where the policy lets it, and /input, /output, /tmp, /dev/shm as mounts with limits. Its network
 * is a loopback of its own, where the agent may listen.
 *
 * Two processes stand between agent and app. jail_run() starts a helper: this same executable,
 * executed anew, so that it holds no byte of the agent's memory. The helper is PID 1 inside: it
 * builds the mounts, starts the app as its child, waits, reports, and takes every other process
 * with it when it ends.
 */
#ifndef STRONGROOM_JAIL_H
#define STRONGROOM_JAIL_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/err.h"

#define JAIL_UID_BASE                                                                              \
	100000u /* uid 0 of an image is this one; rootfs_layer() gives files the same shift */
#define JAIL_UID_COUNT 65536u

#define JAIL_MAX_PORTS 4

struct jail_limits {
	long long memory_bytes;
	long long pids;
	long long wall_ms;
	long long cpu_seconds;
	long long output_bytes;
	long long output_files;
	long long stdout_bytes; /* each of stdout and stderr */
};

struct jail_conf {
	const char *rootfs_dir;
	bool is_root_writable; /* by the app; what it writes there counts as its memory in a VM */
	const char *input_dir; /* becomes /input, read-only; NULL: none */
	const char
		*output_dir; /* an empty folder: a tmpfs is mounted there, and stays for outpack */
	const char
		*cgroup; /* a cgroup v2 folder to make; NULL: rlimits only (weaker: per process) */
	const char *const *argv; /* ends with NULL; argv[0] is looked up in the env's PATH */
	const char *const *env;	 /* "NAME=value", ends with NULL */
	const char *cwd;	 /* NULL: "/" */
	unsigned uid, gid;	 /* inside; 0 is the image's root */
	struct jail_limits limits;
	unsigned short ports[JAIL_MAX_PORTS + 1]; /* 127.0.0.1 inside; ends with 0 */
	/* Called once, before the app is started, with their listening sockets in that order, which
	 * are the callee's from then on. NULL without ports. */
	void (*on_listening)(void *arg, const int *fds, size_t count);
	void *on_listening_arg;
	/* Asked every 2 s; -1: the app is killed, and jail_run() fails with that error. NULL: it
	 * goes on. */
	int (*may_go_on)(void *arg, struct err *err);
	void *may_go_on_arg;
};

#define JAIL_MAX_HITS 8

struct jail_result {
	int returncode; /* 128 + signal when a signal ended it */
	int signal;	/* 0 when it exited by itself */
	/* of "memory", "pids", "wall", "cpu", "output_bytes", "output_files", "stdout", "stderr" */
	const char *limits_hit[JAIL_MAX_HITS + 1];
	struct buf stdout_text, stderr_text; /* cut at limits.stdout_bytes */
	long long cpu_ms;
};

/* Runs the app to its end, or to the end of its limits: 0 whatever the app did. -1 only when
 * `may_go_on` said no or the app was not started: jail.no_app when its program cannot be executed,
 * jail.failed and others when the cage could not be built. Every process of the app is gone on
 * return. */
int jail_run(const struct jail_conf *conf, struct jail_result *ret_result, struct err *err)
	__attribute__((warn_unused_result));
void jail_result_release(struct jail_result *result);
/* Unmounts what jail_run() left mounted on output_dir. */
void jail_output_release(const char *output_dir);

/* main() of the helper; never called by the agent itself. */
int jail_child_main(void);

#endif
