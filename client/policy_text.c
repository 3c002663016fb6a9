/* SPDX-License-Identifier: Apache-2.0 */
/* The sentences of policy_text.h: what runs, what it sees, where what comes out goes, who must
 * agree, and what nobody is protected from. */
#include "client/policy_text.h"

#include <string.h>

#include "client/peers.h"
#include "client/ui.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_TEXT (1u << 20)

struct writer {
	const json_t *doc;
	const struct policy_reader *reader;
	struct buf *text;
	struct err err;
};

#define WRITE(writer, ...) ((void)buf_printf((writer)->text, &(writer)->err, __VA_ARGS__))

const char *policy_reader_name(const struct policy_reader *reader, const char *spki)
{
	const json_t *peer;

	if (reader->own && strcmp(spki, reader->own) == 0)
		return "you";
	peer = peers_of_key(reader->peers, spki);
	return peer ? json_text(peer, "name") : spki;
}

static const json_t *member(const struct writer *writer, const char *name)
{
	return json_object_get(writer->doc, name);
}

static long long number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* Texts of a list that others wrote, each by itself safe to print. */
static void write_texts(struct writer *writer, const json_t *list)
{
	json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		auto_free char *plain = ui_plain(json_string_value(item));

		WRITE(writer, " %s", plain);
	}
}

static void write_keys(struct writer *writer, const char *label, const json_t *keys)
{
	json_t *key;
	size_t i;

	WRITE(writer, "%-12s", label);
	json_array_foreach (keys, i, key)
		WRITE(writer, " %s", policy_reader_name(writer->reader, json_string_value(key)));
	WRITE(writer, "%s\n", json_array_size(keys) ? "" : " nobody");
}

static void write_program(struct writer *writer)
{
	const json_t *image = member(writer, "image"), *process = member(writer, "process"),
		     *app = member(writer, "app");

	WRITE(writer, "image        %s\n             %s\n", json_text(image, "repository"),
		json_text(image, "manifest"));
	WRITE(writer, "runs        ");
	write_texts(writer, json_object_get(process, "argv"));
	WRITE(writer, "\n");
	if (json_is_object(app))
		WRITE(writer, "application  %s with %s, APPCONFIG_ID %s\n", json_text(app, "id"),
			json_text(app, "config") ? json_text(app, "config") : "no configuration",
			json_text(app, "app_config_id"));
}

static void write_owner(struct writer *writer, const json_t *entry)
{
	const json_t *slot = json_object_get(member(writer, "slots"), json_text(entry, "slot"));

	WRITE(writer, ", key of %s\n",
		slot ? policy_reader_name(writer->reader, json_text(slot, "owner")) : "nobody");
}

static void write_data(struct writer *writer, const char *label, const json_t *list)
{
	json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry) {
		const char *url = json_text(json_object_get(entry, "location"), "url"),
			   *digest = json_text(entry, "digest");
		auto_free char *plain = ui_plain(url ? url : json_text(entry, "file"));

		WRITE(writer, "%-12s %s version %lld, %s%s%s", label, json_text(entry, "dataset"),
			number(entry, "version"), plain, digest ? ", " : "", digest ? digest : "");
		write_owner(writer, entry);
	}
}

static void write_egress(struct writer *writer)
{
	const json_t *egress = member(writer, "egress"),
		     *domains = json_object_get(egress, "domains");

	if (!json_text_is(egress, "mode", "direct")) {
		WRITE(writer, "network      %s\n",
			json_text_is(egress, "mode", "managed")
				? "none of its own; the agent fetches and stores the locations "
				  "above"
				: "none");
		return;
	}
	WRITE(writer, "network      the app can send anything to");
	write_texts(writer, domains);
	WRITE(writer, ", outside the receipt\n");
}

static void write_gates(struct writer *writer)
{
	const json_t *gates = member(writer, "gates");
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)gates, name, value) {
		auto_free char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

		if (!json_is_null(value))
			WRITE(writer, "%-12s %s %s\n", "gate", name, text);
	}
}

static void write_evidence(struct writer *writer)
{
	const json_t *evidence = member(writer, "evidence");
	const char *minimum = json_text(evidence, "minimum");

	WRITE(writer, "evidence     %s", minimum);
	if (strcmp(minimum, "none") == 0)
		WRITE(writer,
			": the operator of the server can read the image, the data and the output");
	if (strcmp(minimum, "software-tpm") == 0)
		WRITE(writer, ": measured, not confidential: the host's root can read everything");
	WRITE(writer, "\n");
}

static void write_rule(struct writer *writer, const json_t *rule)
{
	const json_t *objects = json_object_get(rule, "objects");
	const char *role = json_text(rule, "role");

	WRITE(writer, "agree        %lld of:", number(rule, "k"));
	for (size_t i = 0; i < json_array_size(trust_rule_keys(writer->doc, rule)); i++)
		WRITE(writer, " %s",
			policy_reader_name(writer->reader,
				json_string_value(
					json_array_get(trust_rule_keys(writer->doc, rule), i))));
	WRITE(writer, " (%s%s%s%s)", json_text(rule, "scope"), role ? ", " : "", role ? role : "",
		json_is_true(json_object_get(rule, "veto")) ? ", each may veto" : "");
	if (json_array_size(objects) > 0) {
		WRITE(writer, " for");
		write_texts(writer, objects);
	}
	WRITE(writer, "\n");
}

static void write_end(struct writer *writer)
{
	char deadline[CLOCK_TEXT_SIZE];

	clock_rfc3339(number(writer->doc, "deadline") * 1000, deadline);
	WRITE(writer, "until        %s, at most %lld runs\n", deadline,
		number(writer->doc, "max_runs"));
}

char *policy_text(const struct trust_policy *policy, const struct policy_reader *reader)
{
	auto_buf text = BUF_INIT(MAX_TEXT);
	struct writer writer = { policy->doc, reader, &text, { .kind = ERR_NONE } };
	const json_t *parties = json_object_get(policy->doc, "parties");
	json_t *rule;
	size_t i;

	WRITE(&writer, "policy       %s\n             %s\nspace        %s\n", policy->name,
		policy->hash, policy->space);
	write_program(&writer);
	write_data(&writer, "reads", member(&writer, "inputs"));
	write_data(&writer, "writes", member(&writer, "outputs"));
	write_egress(&writer);
	write_gates(&writer);
	write_evidence(&writer);
	write_keys(&writer, "output for", json_object_get(parties, "recipients"));
	write_keys(&writer, "started by", json_object_get(parties, "runners"));
	write_keys(&writer, "written by", json_object_get(parties, "authors"));
	json_array_foreach (trust_policy_rules(policy->doc), i, rule)
		write_rule(&writer, rule);
	write_end(&writer);
	return mem_strdup(text.data ? (char *)text.data : "");
}
