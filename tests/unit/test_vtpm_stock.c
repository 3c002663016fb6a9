/* SPDX-License-Identifier: Apache-2.0 */
/* vTPMs made ahead: each goes to one sandbox, which its certificate names, whoever else reaches for
 * it and whatever was killed. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/mem.h"
#include "services/provisioner/vm_files.h"
#include "services/provisioner/vtpm.h"
#include "services/provisioner/vtpm_stock.h"
#include "tests/unit/check.h"

#define TAKERS 4
#define ITEMS 48

static char dir[] = "/tmp/test_vtpm_stock.XXXXXX";
static struct provisioner_conf conf = { .vtpm_stock = 1 };
static struct worker worker = { .program = &conf };

/* Below our folder; $1 is `word`. */
static void shell(const char *script, const char *word)
{
	auto_free char *command =
		mem_printf("cd %s && set -- %s && { %s; } >>log 2>&1", dir, word, script);

	CHECK(system(command) == 0); /* NOLINT: names of our own */
}

static void make_ca(void)
{
	shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
	      "-keyout key -out ca -subj /CN=$1 -addext keyUsage=critical,keyCertSign",
		"vTPMs");
}

static void set_up(void)
{
	make_ca();
	shell("printf '%s\\n' statedir=$PWD signingkey=$PWD/key issuercert=$PWD/ca "
	      "certserial=$PWD/serial >localca; printf '%s\\n' create_certs_tool=$1 "
	      "create_certs_tool_config=$PWD/localca create_certs_tool_options=$PWD/options "
	      "active_pcr_banks=sha256 >setup; : >options",
		"/usr/bin/swtpm_localca");
	conf.vtpm_setup = mem_printf("%s/setup", dir);
	conf.sandboxes_dir = mem_printf("%s/sandboxes", dir);
}

static void fill(void)
{
	struct err err = { 0 };

	CHECK(vtpm_stock_run(&worker, &err) == 0);
}

static int count_one(void *arg, const char *id, struct err *err)
{
	(void)id;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static unsigned count_taken(void)
{
	struct err err = { 0 };
	unsigned count = 0;

	CHECK(vtpm_stock_list(&conf, count_one, &count, &err) == 0);
	return count;
}

static bool names(const char *state, const char *id)
{
	auto_free char *path = mem_printf("%s/tpm2-00.permall", state);
	auto_buf bytes = BUF_INIT(1u << 20);
	struct err err = { 0 };

	CHECK(buf_read_file(&bytes, path, &err) == 0);
	return memmem(bytes.data, bytes.len, id, strlen(id)) != NULL;
}

/* Through the real swtpm_setup; what a killed one left half made is in its way. */
static void test_made_for_its_sandbox(void)
{
	auto_free char *folder = mem_printf("%s/box", dir), *state = mem_printf("%s/tpm", folder);
	const struct vtpm vtpm = { .conf = &conf, .folder = folder, .uid = geteuid() };
	struct vtpm own = vtpm;
	char id[ID_SIZE], none[ID_SIZE];
	struct err err = { 0 };

	CHECK(!vtpm_stock_take(&conf, id));
	fill();
	fill();
	shell("cd sandboxes/.vtpms/* && mkdir new && : >new/$1", "half");
	CHECK(vtpm_stock_take(&conf, id) && !vtpm_stock_take(&conf, none) && count_taken() == 1);
	own.sandbox_id = id;
	CHECK(vm_files_folder(folder, 0700, &err) == 0 && vtpm_make(&own, &err) == 0);
	shell("test ! -e box/$1", "vtpm.log"); /* nothing was manufactured for it any more */
	CHECK(names(state, id) && count_taken() == 0);
	fill();
	CHECK(vtpm_stock_take(&conf, none) && strcmp(id, none) != 0);
	CHECK(vtpm_stock_drop(&conf, none, &err) == 0 && count_taken() == 0);
}

/* Without its CA's key no sandbox gets one, not even one that was made before. */
static void test_no_key(void)
{
	auto_free char *folder = mem_printf("%s/keyless", dir);
	struct vtpm vtpm = { .conf = &conf, .folder = folder, .uid = geteuid() };
	char id[ID_SIZE];
	struct err err = { 0 };

	fill();
	CHECK(vtpm_stock_take(&conf, id) && vm_files_folder(folder, 0700, &err) == 0);
	vtpm.sandbox_id = id;
	shell("mv key $1", "kept");
	CHECK_FAILS(vtpm_make(&vtpm, &err), &err, "sandbox.vtpm_ca");
	shell("mv $1 key", "kept");
	CHECK(count_taken() == 1 && vtpm_make(&vtpm, &err) == 0 && count_taken() == 0);
}

/* From when all of them are there. */
static void take_all(int gate, int out)
{
	char id[ID_SIZE];

	CHECK(read(gate, id, 1) == 0);
	while (vtpm_stock_take(&conf, id))
		CHECK(write(out, id, ID_SIZE) == ID_SIZE);
}

static void test_each_once(void)
{
	char ids[ITEMS + 1][ID_SIZE], id[ID_SIZE];
	int pair[2], gate[2], status;
	size_t count = 0;

	for (unsigned i = 0; i < ITEMS; i++) {
		id_new("sbx", id);
		shell("mkdir $(echo sandboxes/.vtpms/*/ready)/$1", id);
	}
	CHECK(pipe(pair) == 0 && pipe(gate) == 0);
	for (unsigned i = 0; i < TAKERS; i++) {
		if (fork() == 0) {
			close(gate[1]);
			take_all(gate[0], pair[1]);
			_exit(0);
		}
	}
	close(gate[0]);
	close(gate[1]);
	close(pair[1]);
	while (count <= ITEMS && read(pair[0], ids[count], ID_SIZE) == ID_SIZE)
		count++;
	close(pair[0]);
	CHECK(count == ITEMS && count_taken() == ITEMS);
	for (unsigned i = 0; i < TAKERS; i++)
		CHECK(wait(&status) > 0 && status == 0);
	for (size_t i = 0; i < ITEMS; i++) {
		for (size_t j = 0; j < i; j++)
			CHECK(strcmp(ids[i], ids[j]) != 0);
	}
}

/* What another issuer signed is handed to nobody, and goes. */
static void test_another_issuer(void)
{
	char id[ID_SIZE];

	fill();
	make_ca();
	CHECK(!vtpm_stock_take(&conf, id) && count_taken() == 0);
	fill();
	shell("test $(ls sandboxes/$1 | wc -l) = 1", ".vtpms");
	CHECK(vtpm_stock_take(&conf, id));
}

int main(void)
{
	CHECK(mkdtemp(dir) != NULL);
	set_up();
	test_made_for_its_sandbox();
	test_no_key();
	test_each_once();
	test_another_issuer();
	shell("rm -rf $1", dir);
	free(conf.vtpm_setup);
	free(conf.sandboxes_dir);
	CHECK_DONE();
}
