/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom template list|show|measure. measure predicts what a measured template's boot must show
 * from the files it boots, before anything runs: for a trust file. */
#include <stdlib.h>
#include <string.h>

#include "client/learn.h"
#include "client/session.h"
#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/reference.h"

#define FIRMWARE "/usr/share/OVMF/OVMF_CODE.fd"

static const struct cli_option options[] = {
	{ "guest", "DIR",
		"measure: vmlinuz, initramfs.img and guest.json as `make guest` leaves them" },
	{ "kernel", "FILE", "measure: instead of the guest's" },
	{ "initramfs", "FILE", "measure: instead of the guest's" },
	{ "cmdline", "TEXT", "measure: instead of the guest's" },
	{ "firmware", "FILE", "measure: default " FIRMWARE },
	{ "memory", "MIB", "measure: default 768" },
	{ "vcpus", "N", "measure: default 1" },
	{ "pei", "HEX", "measure: the firmware's PEI volume, instead of the shipped value" },
	{ "learn", NULL, "measure: learn the PEI volume by starting the firmware once in QEMU" },
	{ NULL, NULL, NULL },
};

/* --- measure --- */

struct inputs { /* texts of our own */
	char *kernel, *initramfs, *cmdline;
	char pei[CODEC_HEX_SIZE(DIGEST_SIZE)];
	struct reference_files files;
};

static void inputs_release(struct inputs *inputs)
{
	free(inputs->kernel);
	free(inputs->initramfs);
	free(inputs->cmdline);
}
#define auto_inputs __attribute__((cleanup(inputs_release))) struct inputs

static char *choose(const struct cli *cli, const char *option, const char *guest, const char *file)
{
	const char *given = cli_value(cli, option);

	if (given)
		return mem_strdup(given);
	return guest ? mem_printf("%s/%s", guest, file) : NULL;
}

static int guest_cmdline(const char *guest, char **ret_cmdline, struct err *err)
{
	auto_free char *path = mem_printf("%s/guest.json", guest);
	auto_buf text = BUF_INIT(65536);
	auto_json json_t *doc = NULL;

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	doc = json_parse((const char *)text.data, text.len, err);
	if (!json_text(doc, "cmdline"))
		return err_set(err, ERR_INVALID, "reference.file", "'%s' names no cmdline", path);
	*ret_cmdline = mem_strdup(json_text(doc, "cmdline"));
	return 0;
}

static int read_inputs(const struct cli *cli, struct inputs *inputs, struct err *err)
{
	const char *guest = cli_value(cli, "guest"), *cmdline = cli_value(cli, "cmdline");
	const char *firmware = cli_value(cli, "firmware");

	inputs->kernel = choose(cli, "kernel", guest, "vmlinuz");
	inputs->initramfs = choose(cli, "initramfs", guest, "initramfs.img");
	if (cmdline)
		inputs->cmdline = mem_strdup(cmdline);
	else if (guest && guest_cmdline(guest, &inputs->cmdline, err) < 0)
		return -1;
	if (!inputs->kernel || !inputs->initramfs || !inputs->cmdline)
		return err_set(err, ERR_INVALID, "usage.arguments",
			"--guest DIR, or --kernel, --initramfs and --cmdline");
	inputs->files = (struct reference_files) { .firmware = firmware ? firmware : FIRMWARE,
		.kernel = inputs->kernel,
		.initramfs = inputs->initramfs,
		.cmdline = inputs->cmdline,
		.pei = cli_value(cli, "pei") };
	if (cli_number(cli, "memory", 1 << 20, 768, &inputs->files.memory_mib, err) < 0 ||
		cli_number(cli, "vcpus", 1024, 1, &inputs->files.vcpus, err) < 0)
		return -1;
	if (!cli_switch(cli, "learn"))
		return 0;
	inputs->files.pei = inputs->pei;
	return learn_pei(&inputs->files, inputs->pei, err);
}

/* PCR 9 is each sandbox's own: its initdata stands in the initrd. */
static void show_pcrs(const struct cli *cli, const json_t *pcrs)
{
	json_t *value;
	const char *name;

	json_object_foreach ((json_t *)pcrs, name, value)
		ui_note(cli->ui, "PCR %s  %s", name, json_string_value(value));
	ui_note(cli->ui,
		"PCR 9  each sandbox's own: command line, and initramfs with its initdata");
}

static int measure(const struct cli *cli, struct err *err)
{
	auto_inputs inputs = { .kernel = NULL };
	auto_json json_t *json = NULL, *pcrs = NULL;
	auto_free char *text = NULL;
	struct reference reference;
	size_t len;

	if (read_inputs(cli, &inputs, err) < 0 ||
		reference_predict(&inputs.files, &reference, err) < 0)
		return -1;
	json = reference_encode(&reference);
	pcrs = reference_pcrs(&reference);
	if (!cli->ui->json)
		show_pcrs(cli, pcrs);
	text = json_encode(json, &len);
	ui_result(cli->ui, json_pack("{s:O,s:O}", "reference", json, "pcrs", pcrs), "%s", text);
	return 0;
}

/* --- of the server --- */

static int show(struct session *session, const struct cli *cli, struct err *err)
{
	auto_free char *path = mem_printf("/v1/templates/%s", cli->arguments[1]);

	return session_show(session, cli, "provisioner", path, err);
}

static const struct verb verbs[] = {
	{ "list", NULL, 0, "" },
	{ "show", show, 1, "ID" },
	{ NULL, NULL, 0, NULL },
};

static int template(const struct cli *cli, struct err *err)
{
	if (strcmp(cli->arguments[0], "measure") == 0)
		return measure(cli, err);
	return session_verb_of(cli, "template", verbs, &collection_templates, err);
}

const struct command command_template = { "template",
	"list | show ID | measure --guest DIR [--memory MIB] [--learn]",
	"what sandboxes can be made of, and what their boot must show", options, 1, 2, template };
