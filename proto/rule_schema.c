/* SPDX-License-Identifier: Apache-2.0 */
/* A table of rules as a JSON Schema: what is checked and what is told are the same rows. */
#include <string.h>

#include "proto/rule.h"

static json_t *schema_of(const struct rule *rule, const struct rule_pattern *patterns);

static json_t *text_schema(const struct rule *rule, const struct rule_pattern *patterns)
{
	if (!rule->is) /* JSON Schema counts characters, the rule bytes: the upper bound holds */
		return json_pack("{s:s,s:I,s:I}", "type", "string", "minLength",
			(json_int_t)(rule->min > 0), "maxLength", (json_int_t)rule->max);
	for (; patterns->is; patterns++)
		if (patterns->is == rule->is)
			return json_pack(
				"{s:s,s:s}", "type", "string", "pattern", patterns->pattern);
	return json_pack("{s:s}", "type", "string");
}

static json_t *list_schema(const struct rule *rule, const struct rule_pattern *patterns)
{
	json_t *schema = json_pack("{s:s,s:o,s:I,s:I}", "type", "array", "items",
		schema_of(rule->of, patterns), "minItems", (json_int_t)rule->min, "maxItems",
		(json_int_t)rule->max);

	if (rule->kind == RULE_SET)
		json_object_set_new(schema, "uniqueItems", json_true());
	return schema;
}

static json_t *map_schema(const struct rule *rule, const struct rule_pattern *patterns)
{
	const struct rule name = { .name = "", .kind = RULE_TEXT, .is = rule->is };
	json_t *schema = json_pack("{s:s,s:o,s:I,s:I}", "type", "object", "additionalProperties",
		schema_of(rule->of, patterns), "minProperties", (json_int_t)rule->min,
		"maxProperties", (json_int_t)rule->max);

	if (rule->is)
		json_object_set_new(schema, "propertyNames", text_schema(&name, patterns));
	return schema;
}

static json_t *choice_schema(const struct rule *rule, const struct rule_pattern *patterns)
{
	json_t *any = json_array();

	for (const struct rule *one = rule->of; one->name; one++)
		json_array_append_new(any, schema_of(one, patterns));
	return json_pack("{s:o}", "anyOf", any);
}

static json_t *plain_schema(const struct rule *rule, const struct rule_pattern *patterns)
{
	switch (rule->kind) {
	case RULE_TEXT:
		return text_schema(rule, patterns);
	case RULE_NUMBER:
		return json_pack("{s:s,s:I,s:I}", "type", "integer", "minimum",
			(json_int_t)rule->min, "maximum", (json_int_t)rule->max);
	case RULE_OBJECT:
		return rule_schema(rule->of, patterns);
	case RULE_LIST:
	case RULE_SET:
		return list_schema(rule, patterns);
	case RULE_MAP:
		return map_schema(rule, patterns);
	case RULE_CHOICE:
		return choice_schema(rule, patterns);
	case RULE_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case RULE_NULL:
		return json_pack("{s:s}", "type", "null");
	case RULE_ANY:
		break;
	}
	return json_object();
}

static json_t *schema_of(const struct rule *rule, const struct rule_pattern *patterns)
{
	json_t *schema = plain_schema(rule, patterns);

	return rule->or_null ? json_pack("{s:[o,{s:s}]}", "anyOf", schema, "type", "null") : schema;
}

json_t *rule_schema(const struct rule *members, const struct rule_pattern *patterns)
{
	json_t *properties = json_object(), *required = json_array();

	for (; members->name; members++) {
		json_object_set_new(properties, members->name, schema_of(members, patterns));
		if (!members->optional)
			json_array_append_new(required, json_string(members->name));
	}
	return json_pack("{s:s,s:o,s:o,s:b}", "type", "object", "properties", properties,
		"required", required, "additionalProperties", 0);
}
