/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that cannot fail (out of memory aborts with one line), cleanup attributes, and
 * wiping of secrets. Foreign handles have their own auto_* beside their module.
 */
#ifndef STRONGROOM_MEM_H
#define STRONGROOM_MEM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

void *mem_alloc(size_t size);		    /* zeroed */
void *mem_array(size_t count, size_t size); /* zeroed, overflow aborts */
void *mem_grow(void *ptr, size_t count, size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);
void *mem_dup(const void *data, size_t len);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *mem_vprintf(const char *fmt, va_list args) __attribute__((format(printf, 1, 0)));

/* Wipes and frees; NULL is fine. */
void mem_wipe_free(void *ptr, size_t len);

void mem_cleanup_free(void *ptr_to_ptr);
void mem_cleanup_close(const int *fd);
void mem_cleanup_file(FILE **file);

#define auto_free __attribute__((cleanup(mem_cleanup_free)))
#define auto_fd __attribute__((cleanup(mem_cleanup_close)))
#define auto_file __attribute__((cleanup(mem_cleanup_file)))

/* Hands a pointer's ownership on: the variable becomes NULL. */
#define take_ptr(p)                                                                                \
	({                                                                                         \
		__typeof__(p) _taken = (p);                                                        \
		(p) = NULL;                                                                        \
		_taken;                                                                            \
	})
#define take_fd(fd)                                                                                \
	({                                                                                         \
		int _fd = (fd);                                                                    \
		(fd) = -1;                                                                         \
		_fd;                                                                               \
	})
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
