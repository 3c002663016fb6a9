/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of a signed object as a table: what members it has, of what kind, in what range. Unlike
 * json_decode() it goes into nested objects, and fills nothing: the document itself is what is
 * hashed and signed.
 */
#ifndef STRONGROOM_RULE_H
#define STRONGROOM_RULE_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

enum rule_kind {
	RULE_TEXT,   /* `is`, or any text of min..max bytes */
	RULE_NUMBER, /* min..max */
	RULE_OBJECT, /* `of` are its members, required unless `optional`, none else */
	RULE_LIST,   /* min..max entries, each by the rule `of` */
	RULE_SET,    /* a list without repetitions */
	RULE_MAP,    /* min..max members whose names satisfy `is`, each by the rule `of` */
	RULE_NULL,   /* null */
	RULE_BOOL,   /* true or false */
	RULE_CHOICE, /* one of `of`: `choose` says which, by the value */
	RULE_ANY,    /* checked by the caller */
};

struct rule {
	const char *name; /* NULL ends a list of members */
	enum rule_kind kind;
	bool (*is)(const char *text);
	const struct rule *of;
	const struct rule *(*choose)(const json_t *value);
	long long min, max;
	bool or_null;
	bool optional; /* of an object's member: may be absent */
};

/* -1 with `code` (ERR_INVALID) and every bad member in err->fields; `what` names the object in the
 * text. */
int rule_check(const struct rule *members, const json_t *object, const char *code, const char *what,
	struct err *err);

/* The same rows as a JSON Schema; a predicate without a pattern is any text there. New reference.
 */
struct rule_pattern {
	bool (*is)(const char *text); /* NULL ends a list */
	const char *pattern;	      /* ECMA 262 */
};
json_t *rule_schema(const struct rule *members, const struct rule_pattern *patterns);

/* Predicates for texts. */
bool rule_is_digest(const char *text);
bool rule_is_bytes32(const char *text); /* base64url */
bool rule_is_label(const char *text);	/* [a-z0-9][a-z0-9-]{0,62} */
/* image, output, input/<name>, credentials/input/<name>, credentials/output/<name> */
bool rule_is_slot(const char *text);
bool rule_is_name(const char *text);  /* of a slot: a label of at most 31 */
bool rule_is_path(const char *text);  /* absolute, nothing to resolve in it */
bool rule_is_class(const char *text); /* none, software-tpm, tee-<name> */
bool rule_is_space(const char *text);
bool rule_is_sandbox(const char *text);
bool rule_is_run(const char *text);
bool rule_is_dataset(const char *text);
bool rule_is_object(const char *text);
bool rule_is_app(const char *text);
bool rule_is_app_config(const char *text);

#define RULE_MAX ((1LL << 53) - 1)

/* The two rows of a JWE's protected header that say how it is encrypted (jose.h). */
bool rule_is_jwe_alg(const char *text);
bool rule_is_jwe_enc(const char *text);
/* clang-format off */
#define RULE_JWE                                                                                   \
	{ .name = "alg", .kind = RULE_TEXT, .is = rule_is_jwe_alg },                               \
	{ .name = "enc", .kind = RULE_TEXT, .is = rule_is_jwe_enc }
/* clang-format on */

/* The head of the audit log that a signer saw: {"size","root"}, or null. */
extern const struct rule rule_log_head[];
#define RULE_LOG_HEAD                                                                              \
	{                                                                                          \
		.name = "log_head", .kind = RULE_OBJECT, .of = rule_log_head, .or_null = true      \
	}

#endif
