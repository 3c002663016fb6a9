/* SPDX-License-Identifier: Apache-2.0 */
/* One line a check: result, name, value. */
#include "client/evidence_table.h"

#include <string.h>

#include "lib/json.h"

static const char *text_of(const json_t *check, const char *member)
{
	const char *text = json_text(check, member);

	return text ? text : "-";
}

static void print_check(struct ui *ui, const json_t *check)
{
	const char *result = text_of(check, "result"), *name = text_of(check, "name");

	if (strcmp(result, "failed") != 0) {
		ui_result(ui, NULL, "%-20s  %-52s  %s", result, name, text_of(check, "actual"));
		return;
	}
	ui_result(ui, NULL, "%-20s  %-52s  %s", "FAILED", name, text_of(check, "code"));
	ui_result(ui, NULL, "%-20s    expected %s", "", text_of(check, "expected"));
	ui_result(ui, NULL, "%-20s    found    %s", "", text_of(check, "actual"));
}

void evidence_table_print(struct ui *ui, const json_t *result)
{
	const json_t *check;
	size_t i;

	if (ui->json) {
		ui_object(ui, "attestation", json_deep_copy(result));
		return;
	}
	json_array_foreach (json_object_get(result, "checks"), i, check)
		print_check(ui, check);
}

void evidence_table_note(struct ui *ui, const json_t *result)
{
	const json_t *check;
	size_t i;

	if (ui->json) {
		ui_object(ui, "attestation", json_deep_copy(result));
		return;
	}
	json_array_foreach (json_object_get(result, "checks"), i, check) {
		if (strcmp(text_of(check, "result"), "ok") != 0)
			ui_note(ui, "%s: %s", text_of(check, "name"), text_of(check, "result"));
	}
}

void evidence_table_say_class(struct ui *ui, const char *class)
{
	const char *text = "";
	bool is_readable = strncmp(class, "tee", 3) != 0;

	if (strcmp(class, "none") == 0)
		text = "EVIDENCE none: the operator of this server can read the image, the data "
		       "and the output";
	else if (strcmp(class, "software-tpm") == 0)
		text = "measured, not confidential: the host's root can read everything";
	if (ui->json)
		ui_object(ui, "evidence",
			json_pack("{s:s,s:b,s:s}", "class", class, "operator_can_read", is_readable,
				"text", text));
	else if (is_readable)
		ui_note(ui, "%s", text);
	else
		ui_note(ui, "evidence class %s", class);
}
