/* SPDX-License-Identifier: Apache-2.0 */
/* From the plan's egress.* to the document of policy_document.c. */
#include "client/policy_reach.h"

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_ROOT (64u << 10)

/* --- egress --- */

static void add_domains(const struct task *task, json_t *egress)
{
	json_t *domains = json_array();

	for (unsigned i = 0;; i++) {
		auto_free char *name = mem_printf("egress.domains.%u", i);

		if (!task_field(task, name))
			break;
		json_array_append_new(domains, json_string(task_field(task, name)));
	}
	json_object_set_new(egress, "domains", domains);
}

/* One certificate a file; null without any: the guest's own bundle. */
static int add_roots(const struct task *task, json_t *egress, struct err *err)
{
	auto_json json_t *roots = json_array();

	for (unsigned i = 0;; i++) {
		auto_free char *name = mem_printf("egress.roots.%u", i);
		const char *path = task_field(task, name);
		auto_buf text = BUF_INIT(MAX_ROOT);

		if (!path)
			break;
		if (buf_read_file(&text, path, err) < 0)
			return -1;
		json_array_append_new(roots, json_stringn((const char *)text.data, text.len));
	}
	json_object_set(egress, "roots", json_array_size(roots) > 0 ? roots : json_null());
	return 0;
}

static int add_egress(const struct task *task, json_t *document, struct err *err)
{
	json_t *egress = json_pack("{s:s}", "mode", task_field(task, "egress.mode"));

	json_object_set_new(document, "egress", egress);
	add_domains(task, egress);
	return add_roots(task, egress, err);
}

/* --- ports --- */

static void add_ports(const json_t *document, const char *list, json_t *ports)
{
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(document, list), i, entry) {
		const char *port = json_text(entry, "port"), *name = json_text(entry, "name");

		if (!port || !name)
			continue;
		if (!json_object_get(ports, port))
			json_object_set_new(ports, port, json_object());
		json_object_set_new(json_object_get(ports, port), name,
			json_pack("{s:O}", "dataset", json_object_get(entry, "dataset")));
	}
}

/* Who has an output's key reads it: the document says so. */
static void add_recipients(json_t *document)
{
	json_t *recipients = json_object_get(json_object_get(document, "parties"), "recipients"),
	       *entry;
	size_t i;

	json_array_foreach (json_object_get(document, "outputs"), i, entry) {
		const char *slot = json_text(entry, "slot");
		const json_t *slots = json_object_get(document, "slots");
		const char *owner = slot ? json_text(json_object_get(slots, slot), "owner") : NULL;

		if (owner && !json_list_has(recipients, owner))
			json_array_append_new(recipients, json_string(owner));
	}
}

int policy_add_reach(const struct task *task, json_t *document, struct err *err)
{
	json_t *ports = json_object_get(document, "ports");

	add_ports(document, "inputs", ports);
	add_ports(document, "outputs", ports);
	add_recipients(document);
	return add_egress(task, document, err);
}
