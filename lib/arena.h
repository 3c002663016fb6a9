/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's memory: everything is allocated from one arena and released at once.
 * An arena belongs to one thread. arena_reset() keeps the first block for the next request.
 */
#ifndef STRONGROOM_ARENA_H
#define STRONGROOM_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *arena); /* NULL is fine */
void arena_reset(struct arena *arena);

void *arena_alloc(struct arena *arena, size_t size); /* zeroed, aligned for any type */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t len);
void *arena_dup(struct arena *arena, const void *data, size_t len);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* `release(object)` is called when the arena is reset or freed, last added first. */
void arena_defer(struct arena *arena, void (*release)(void *object), void *object);

void arena_cleanup(struct arena **arena);
#define auto_arena __attribute__((cleanup(arena_cleanup)))

#endif
