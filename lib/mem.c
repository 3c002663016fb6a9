/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that aborts when memory is out, and the cleanup handlers of mem.h. */
#include "lib/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *checked(void *ptr)
{
	if (!ptr) {
		fputs("level=error msg=\"out of memory\"\n", stderr);
		abort();
	}
	return ptr;
}

void *mem_alloc(size_t size)
{
	return checked(calloc(1, size ? size : 1));
}

void *mem_array(size_t count, size_t size)
{
	return checked(calloc(count ? count : 1, size ? size : 1));
}

void *mem_grow(void *ptr, size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size)
		return checked(NULL);
	return checked(realloc(ptr, count == 0 || size == 0 ? 1 : count * size));
}

char *mem_strdup(const char *text)
{
	return checked(strdup(text));
}

/* strndup() reads past bytes that no NUL follows when sanitizers watch it. */
static char *mem_dup_text(const char *text, size_t len)
{
	char *copy = mem_alloc(len + 1);

	memcpy(copy, text, len);
	return copy;
}

char *mem_strndup(const char *text, size_t len)
{
	return mem_dup_text(text, strnlen(text, len));
}

void *mem_dup(const void *data, size_t len)
{
	void *copy = mem_alloc(len);

	if (len)
		memcpy(copy, data, len);
	return copy;
}

char *mem_printf(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = mem_vprintf(fmt, args);
	va_end(args);
	return text;
}

char *mem_vprintf(const char *fmt, va_list args)
{
	char *text = NULL;

	return checked(vasprintf(&text, fmt, args) < 0 ? NULL : text);
}

void mem_wipe_free(void *ptr, size_t len)
{
	if (!ptr)
		return;
	explicit_bzero(ptr, len);
	free(ptr);
}

void mem_cleanup_free(void *ptr_to_ptr)
{
	free(*(void **)ptr_to_ptr);
}

void mem_cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void mem_cleanup_file(FILE **file)
{
	if (*file)
		fclose(*file);
}
