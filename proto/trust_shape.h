/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the tables of proto/rule.h, and what the policy document and scoped policies have in
 * common. */
#ifndef STRONGROOM_TRUST_SHAPE_H
#define STRONGROOM_TRUST_SHAPE_H

#include "lib/id.h"
#include "proto/rule.h"

/* clang-format off */
#define SHAPE_END { .name = NULL }
#define SHAPE_TEXT(n, predicate) { .name = (n), .kind = RULE_TEXT, .is = (predicate) }
#define SHAPE_NUMBER(n, low, high) { .name = (n), .kind = RULE_NUMBER, .min = (low), .max = (high) }
#define SHAPE_BOOL(n) { .name = (n), .kind = RULE_BOOL }
#define SHAPE_OBJECT(n, members) { .name = (n), .kind = RULE_OBJECT, .of = (members) }
#define SHAPE_SET(n, low, high, rule)                                                              \
	{ .name = (n), .kind = RULE_SET, .min = (low), .max = (high), .of = (rule) }
#define SHAPE_LIST(n, low, high, rule)                                                             \
	{ .name = (n), .kind = RULE_LIST, .min = (low), .max = (high), .of = (rule) }
#define SHAPE_MAP(n, low, high, predicate, rule)                                                   \
	{ .name = (n), .kind = RULE_MAP, .min = (low), .max = (high), .is = (predicate), .of = (rule) }
/* What a document may leave out or say null of: nothing is said then. */
#define SHAPE_NUMBER_OR_NULL(n, low, high)                                                         \
	{ .name = (n), .kind = RULE_NUMBER, .min = (low), .max = (high), .or_null = true }
#define SHAPE_SET_OR_NULL(n, low, high, rule)                                                      \
	{ .name = (n), .kind = RULE_SET, .min = (low), .max = (high), .of = (rule), .or_null = true }
#define SHAPE_OBJECT_OR_NULL(n, members)                                                           \
	{ .name = (n), .kind = RULE_OBJECT, .of = (members), .or_null = true }
/* clang-format on */

#define SHAPE_MAX_KEYS 32 /* of a party */
#define SHAPE_MAX_DOMAINS 64
#define SHAPE_WEEK 604800 /* seconds */

extern const struct rule trust_policy_shape[];
extern const struct rule shape_digest, shape_endpoint;
extern const struct rule shape_evidence[], shape_gates[];

bool shape_is_level(const char *text);	    /* tenant, dataset, workflow */
bool shape_is_egress(const char *text);	    /* none, managed, direct */
bool shape_is_endpoint(const char *text);   /* host:port */
bool shape_is_url(const char *text);	    /* https, without user, query and fragment */
bool shape_is_repository(const char *text); /* tenant/name */

#endif
