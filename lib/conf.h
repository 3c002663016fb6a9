/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: one table per program, filled from defaults, then a `key = value` file, then the
 * environment (STRONGROOM_<KEY>, dots and dashes as underscores). An unknown key refuses to start.
 * Values are const after start. Secrets are given as file names, never as values.
 */
#ifndef STRONGROOM_CONF_H
#define STRONGROOM_CONF_H

#include <stddef.h>
#include <stdio.h>

#include "lib/err.h"

enum conf_type {
	CONF_TEXT,  /* char * (owned by the configuration) */
	CONF_COUNT, /* long, >= 0 */
	CONF_SIZE,  /* long, bytes, suffixes k m g (1024) */
	CONF_MS,    /* long, milliseconds, suffixes ms s m h */
	CONF_BOOL,  /* bool */
};

struct conf_item {
	const char *key;
	enum conf_type type;
	size_t offset;	      /* into the program's own struct */
	const char *fallback; /* NULL: must be given */
	const char *help;
};

/* `items` ends with a row whose key is NULL. `path` may be NULL. */
int conf_load(const struct conf_item *items, void *config, const char *path, struct err *err);
/* `config` NULL: the rows with their fallbacks, whether or not one could start with them. */
void conf_print(const struct conf_item *items, const void *config, FILE *out);
void conf_release(const struct conf_item *items, void *config);

#endif
