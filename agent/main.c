/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent. As PID 1 of the sandbox VM it makes the system usable, then runs the protocol (run.c)
 * or, in a VM without initdata and with strongroom.selftest=1 on the command line, its own cage
 * against hostile programs (selftest.c), or with strongroom.probe=1 nothing at all: a host asks so
 * whether its KVM works. As an ordinary process (--initdata FILE --secret-file FILE --work DIR) it
 * runs the protocol only. With --jail it is the helper inside a jail (jail_child.c).
 */
#include <getopt.h>
#include <locale.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/fwcfg.h"
#include "agent/init.h"
#include "agent/jail.h"
#include "agent/run.h"
#include "agent/selftest.h"
#include "agent/tcg.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

#define INITDATA_FILE "/etc/strongroom/initdata.json"
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

struct options {
	const char *initdata;
	const char *secret_file;
	const char *work_dir;
};

/* Neither core files nor other processes may see the agent's memory. */
static void harden(void)
{
	const struct rlimit none = { 0, 0 };

	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
}

static int read_initdata(const char *path, json_t **ret_initdata, struct err *err)
{
	auto_buf text = BUF_INIT(64 << 10);

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	*ret_initdata = json_parse((const char *)text.data, text.len, err);
	return *ret_initdata ? 0 : err_wrap(err, "initdata");
}

static int read_secret_file(const char *path, char **ret_secret, struct err *err)
{
	struct buf text = BUF_INIT(4096);
	size_t len;

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	len = strcspn((const char *)text.data, "\n");
	*ret_secret = mem_strndup((const char *)text.data, len);
	buf_wipe(&text);
	return 0;
}

static int read_boot_id(char ret_id[37], struct err *err)
{
	auto_file FILE *file = fopen(BOOT_ID_FILE, "re");

	if (!file || fscanf(file, "%36s", ret_id) != 1)
		return err_errno(err, "read %s", BOOT_ID_FILE);
	return 0;
}

static int fill_boot(const struct options *options, struct agent_boot *boot, struct err *err)
{
	int rc;

	boot->work_dir = options->work_dir;
	if (read_initdata(options->initdata, &boot->initdata, err) < 0 ||
		read_boot_id(boot->boot_id, err) < 0 ||
		digest_file("/proc/self/exe", boot->digest, NULL, err) < 0)
		return -1;
	rc = options->secret_file
		     ? read_secret_file(options->secret_file, &boot->enrolment_secret, err)
		     : fwcfg_read(FWCFG_ENROLMENT, &boot->enrolment_secret, err);
	return rc;
}

static void release_boot(struct agent_boot *boot)
{
	json_decref(boot->initdata);
	if (boot->enrolment_secret)
		mem_wipe_free(boot->enrolment_secret, strlen(boot->enrolment_secret));
}

static int run_protocol(const struct options *options, struct agent_boot *boot)
{
	struct err err = { 0 };
	int rc;

	if (fill_boot(options, boot, &err) == 0) {
		rc = agent_run(boot);
	} else {
		log_failure("cannot start", &err);
		rc = -1;
	}
	release_boot(boot);
	return rc;
}

static int system_up(bool with_network, struct err *err)
{
	if (init_mounts(err) < 0 || init_modules(err) < 0 || init_cgroup(err) < 0)
		return -1;
	return with_network ? init_network(err) : 0;
}

static _Noreturn void run_as_init(void)
{
	const struct options options = { .initdata = INITDATA_FILE, .work_dir = INIT_WORK_DIR };
	struct agent_boot boot = {
		.work_dir = INIT_WORK_DIR, .cgroup = INIT_CGROUP, .is_vm = true
	};
	bool has_initdata = access(INITDATA_FILE, R_OK) == 0;
	struct err err = { 0 };

	if (system_up(has_initdata, &err) < 0)
		log_failure("boot failed", &err);
	else if (has_initdata)
		run_protocol(&options, &boot);
	else if (init_cmdline_has("strongroom.selftest=1"))
		selftest_run(INIT_WORK_DIR, INIT_CGROUP);
	else
		log_info(init_cmdline_has("strongroom.probe=1") ? "probe ok" : "no initdata", NULL);
	init_power_off();
}

static int parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option names[] = {
		{ "initdata", required_argument, NULL, 'i' },
		{ "secret-file", required_argument, NULL, 's' },
		{ "work", required_argument, NULL, 'w' },
		{ 0 },
	};
	int choice;

	while ((choice = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (choice == 'i')
			ret_options->initdata = optarg;
		else if (choice == 's')
			ret_options->secret_file = optarg;
		else if (choice == 'w')
			ret_options->work_dir = optarg;
		else
			return -1;
	}
	return ret_options->initdata && ret_options->secret_file && ret_options->work_dir ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct agent_boot boot = { 0 };

	bool is_init = getpid() == 1;

	if (argc > 1 && strcmp(argv[1], "--jail") == 0)
		return jail_child_main();
	if (argc > 1 && strcmp(argv[1], "--initdata") == 0)
		is_init = false; /* the first process of a container is an ordinary one */
	if (is_init)
		tcg_reexec(argv);
	harden();
	setlocale(LC_CTYPE, "C.UTF-8");
	log_open("agent", LOG_LEVEL_INFO);
	if (is_init)
		run_as_init();
	if (parse(argc, argv, &options) < 0) {
		fputs("usage: strongroom-agent --initdata FILE --secret-file FILE --work DIR\n",
			stderr);
		return 2;
	}
	return run_protocol(&options, &boot) == 0 ? 0 : 1;
}
