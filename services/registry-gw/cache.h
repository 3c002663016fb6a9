/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests' bytes in memory, the least used ones out first. Bytes of a digest never change, so
 * nothing here can be out of date: whether a manifest is there, and who may see it, is asked of the
 * rows each time. Each tenant has its own, so that nobody tells by the clock what others pull.
 */
#ifndef REGISTRY_GW_CACHE_H
#define REGISTRY_GW_CACHE_H

#include <stddef.h>

struct cache;
struct cache_bytes; /* shared and counted, never changed */

struct cache *cache_new(size_t max_bytes);
void cache_free(struct cache *cache);

/* Any thread. A reference that the caller releases; NULL: not here. */
struct cache_bytes *cache_get(struct cache *cache, const char *tenant, const char *digest);
/* Copies `data`, keeps it if it fits, and gives a reference. */
struct cache_bytes *cache_put(
	struct cache *cache, const char *tenant, const char *digest, const void *data, size_t len);
const char *cache_data(const struct cache_bytes *bytes, size_t *ret_len);
void cache_release(void *bytes); /* for arena_defer */

#endif
