/* SPDX-License-Identifier: Apache-2.0 */
/* Arena of arena.h: a list of blocks, bump allocation, and a stack of deferred releases. */
#include "lib/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

#define BLOCK_SIZE_BYTES 8192u
#define ALIGNMENT 16u

struct block {
	struct block *next;
	size_t size;
	size_t used;
	_Alignas(ALIGNMENT) unsigned char data[];
};

struct deferred {
	struct deferred *next;
	void (*release)(void *object);
	void *object;
};

struct arena {
	struct block *first;
	struct block *current;
	struct deferred *deferred;
};

/* Its bytes are zeroed as they are given away: most requests touch a part of their block only. */
static struct block *block_new(size_t size)
{
	struct block *block = mem_grow(NULL, 1, sizeof(*block) + size);

	*block = (struct block) { .size = size };
	return block;
}

struct arena *arena_new(void)
{
	struct arena *arena = mem_alloc(sizeof(*arena));

	arena->first = block_new(BLOCK_SIZE_BYTES);
	arena->current = arena->first;
	return arena;
}

static void run_deferred(struct arena *arena)
{
	while (arena->deferred) {
		struct deferred *item = arena->deferred;

		arena->deferred = item->next;
		item->release(item->object);
	}
}

void arena_reset(struct arena *arena)
{
	run_deferred(arena);
	while (arena->first->next) {
		struct block *extra = arena->first->next;

		arena->first->next = extra->next;
		free(extra);
	}
	explicit_bzero(arena->first->data, arena->first->used);
	arena->first->used = 0;
	arena->current = arena->first;
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	arena_reset(arena);
	free(arena->first);
	free(arena);
}

void *arena_alloc(struct arena *arena, size_t size)
{
	size_t need = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	struct block *block = arena->current;
	void *ptr;

	if (need < size)
		abort();
	if (block->size - block->used < need) {
		block = block_new(need > BLOCK_SIZE_BYTES ? need : BLOCK_SIZE_BYTES);
		block->next = arena->current->next;
		arena->current->next = block;
		arena->current = block;
	}
	ptr = block->data + block->used;
	block->used += need;
	return memset(ptr, 0, need);
}

void *arena_dup(struct arena *arena, const void *data, size_t len)
{
	void *copy = arena_alloc(arena, len ? len : 1);

	if (len)
		memcpy(copy, data, len);
	return copy;
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
	size_t actual = strnlen(text, len);
	char *copy = arena_alloc(arena, actual + 1);

	memcpy(copy, text, actual);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list args, again;
	char *text;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = arena_alloc(arena, (size_t)len + 1);
	vsnprintf(text, (size_t)len + 1, fmt, again);
	va_end(again);
	return text;
}

void arena_defer(struct arena *arena, void (*release)(void *object), void *object)
{
	struct deferred *item = arena_alloc(arena, sizeof(*item));

	item->release = release;
	item->object = object;
	item->next = arena->deferred;
	arena->deferred = item;
}

void arena_cleanup(struct arena **arena)
{
	arena_free(*arena);
}
