/* SPDX-License-Identifier: Apache-2.0 */
/* Signed notes, checkpoints and cosignatures: the example of Go's sumdb/note, a checkpoint of a
 * running log with a running witness's cosignature, and every way in which one may be wrong. */
#include "lib/checkpoint.h"

#include <stdlib.h>

#include "lib/cert.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define PETER "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define PETER_TEXT                                                                                 \
	"If you think cryptography is the answer to your problem,\n"                               \
	"then you don't know what your problem is.\n"
#define PETER_NOTE                                                                                 \
	PETER_TEXT "\n\xe2\x80\x94 PeterNeumann "                                                  \
		   "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZ" \
		   "b6KE6RyyBwJnAM=\n"
#define WITNESS "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
#define COSIGNED                                                                                   \
	"arche2025h1.staging.ct.transparency.dev\n1432088532\n"                                    \
	"U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n"                                         \
	"\xe2\x80\x94 arche2025h1.staging.ct.transparency.dev "                                    \
	"ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3Z"  \
	"FWwQ=\n"                                                                                  \
	"\xe2\x80\x94 remora.n621.de "                                                             \
	"2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/"    \
	"zZ0WBxtqB0DrAWfBw==\n"
#define LOG_KEY                                                                                    \
	"arche2025h1.staging.ct.transparency.dev+ba2f06c0+"                                        \
	"AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"

static struct note_key key_of(const char *text)
{
	struct note_key key = { .is_witness = false };
	struct err err = { .kind = ERR_NONE };

	CHECK_NUMBER(note_key_parse(text, &key, &err), 0);
	CHECK_TEXT(err.code, "");
	return key;
}

static void test_known_note(void)
{
	struct note_key key = key_of(PETER), log = key_of(LOG_KEY);
	char *text = note_key_text(&key), *note = mem_strdup(PETER_NOTE);
	struct err err;

	CHECK_TEXT(text, PETER);
	CHECK_NUMBER(note_verify(note, strlen(note), &key, NULL, &err), 0);
	note[3] ^= 1;
	CHECK_FAILS(note_verify(note, strlen(note), &key, NULL, &err), &err, "log.wrong_signature");
	CHECK_FAILS(note_verify(note, strlen(note), &log, NULL, &err), &err, "log.unsigned");
	free(note);
	free(text);
}

static void test_known_checkpoint(void)
{
	struct note_key log = key_of(LOG_KEY), witness = key_of(WITNESS);
	struct checkpoint checkpoint = { .size = 0 };
	char *note = mem_strdup(COSIGNED);
	long long time = 0;
	struct err err;

	CHECK_NUMBER(checkpoint_verify(note, strlen(note), &log, &checkpoint, &err), 0);
	CHECK_NUMBER(checkpoint.size, 1432088532);
	CHECK_NUMBER(checkpoint.root.bytes[0], 0x53);
	CHECK_NUMBER(note_verify(note, strlen(note), &witness, &time, &err), 0);
	CHECK_NUMBER(time, 0x6a122120);
	CHECK_FAILS(checkpoint_verify(note, strlen(note), &witness, &checkpoint, &err), &err,
		"log.wrong_origin");
	strstr(note, "1432088532")[9] = '3';
	CHECK_FAILS(
		note_verify(note, strlen(note), &witness, NULL, &err), &err, "log.wrong_signature");
	CHECK_FAILS(checkpoint_verify(note, strlen(note), &log, &checkpoint, &err), &err,
		"log.wrong_signature");
	free(note);
}

static EVP_PKEY *new_key(void)
{
	return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static void test_own(void)
{
	EVP_PKEY *pair = new_key(), *witness_pair = new_key();
	struct checkpoint made = { .origin = "host:8443/audit", .size = 42 }, read;
	struct note_key key, witness;
	char *note, *line, *both;
	long long time = 0;
	struct err err;

	memset(made.root.bytes, 7, DIGEST_SIZE);
	CHECK_NUMBER(note_key_of(pair, made.origin, false, &key, &err), 0);
	CHECK_NUMBER(note_key_of(witness_pair, "w.test/1", true, &witness, &err), 0);
	note = checkpoint_sign(pair, &key, &made, &err);
	CHECK_NUMBER(checkpoint_verify(note, strlen(note), &key, &read, &err), 0);
	CHECK_NUMBER(read.size, 42);
	CHECK(memcmp(&read.root, &made.root, sizeof(made.root)) == 0);
	line = note_signature(
		witness_pair, &witness, note, strstr(note, "\n\n") + 1 - note, 1700000000, &err);
	both = mem_printf("%s%s", note, line);
	CHECK_NUMBER(note_verify(both, strlen(both), &witness, &time, &err), 0);
	CHECK_NUMBER(time, 1700000000);
	CHECK_NUMBER(checkpoint_verify(both, strlen(both), &key, &read, &err), 0);
	CHECK_FAILS(note_key_of(pair, "a b", false, &key, &err), &err, "log.bad_key");
	free(both);
	free(line);
	free(note);
	EVP_PKEY_free(witness_pair);
	EVP_PKEY_free(pair);
}

static void test_bad_keys(void)
{
	static const char *const bad[] = { "", "x", "x+y", "PeterNeumann+c74f20a3+",
		"PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumanm+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", PETER "A",
		"+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW" };
	struct note_key key;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(note_key_parse(bad[i], &key, &err), &err, "log.bad_key");
}

#define ROOT_LINE "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n"
#define TAIL "\n\xe2\x80\x94 a AAAA\n"

static void test_bad_notes(void)
{
	static const struct {
		const char *note, *code;
	} bad[] = {
		{ "", "log.bad_note" },
		{ "a\n", "log.bad_note" },
		{ "a\n\n", "log.bad_note" },
		{ "a\n\nb", "log.bad_note" },
		{ "a\n" TAIL, "log.bad_checkpoint" },
		{ "a\n01\n" ROOT_LINE TAIL, "log.bad_checkpoint" },
		{ "a\n-1\n" ROOT_LINE TAIL, "log.bad_checkpoint" },
		{ "a\n1 \n" ROOT_LINE TAIL, "log.bad_checkpoint" },
		{ "a\n9999999999999999\n" ROOT_LINE TAIL, "log.bad_checkpoint" },
		{ "a\n1\nU7WM\n" TAIL, "log.bad_checkpoint" },
		{ "a\n1\n" TAIL, "log.bad_checkpoint" },
		{ "\n1\n" ROOT_LINE TAIL, "log.bad_checkpoint" },
	};
	struct checkpoint checkpoint;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(checkpoint_read(bad[i].note, strlen(bad[i].note), &checkpoint, &err),
			&err, bad[i].code);
	CHECK_NUMBER(checkpoint_read("a\n1\n" ROOT_LINE "more\n" TAIL,
			     strlen("a\n1\n" ROOT_LINE "more\n" TAIL), &checkpoint, &err),
		0);
}

static void test_heads(void)
{
	struct checkpoint checkpoint = { .size = 3 }, read;
	char origin[NOTE_MAX_NAME + 1];
	json_t *head = checkpoint_head(&checkpoint);
	struct err err;

	CHECK_NUMBER(checkpoint_head_read(head, &read, &err), 0);
	CHECK_NUMBER(read.size, 3);
	json_object_set_new(head, "more", json_true());
	CHECK_FAILS(checkpoint_head_read(head, &read, &err), &err, "log.bad_head");
	CHECK_FAILS(checkpoint_head_read(NULL, &read, &err), &err, "log.bad_head");
	json_decref(head);
	CHECK(checkpoint_origin("https://host:8443", origin));
	CHECK_TEXT(origin, "host:8443/audit");
	CHECK(checkpoint_origin("https://host/", origin));
	CHECK_TEXT(origin, "host/audit");
	CHECK(!checkpoint_origin("host", origin));
}

int main(void)
{
	test_known_note();
	test_known_checkpoint();
	test_own();
	test_bad_keys();
	test_bad_notes();
	test_heads();
	CHECK_DONE();
}
