/* SPDX-License-Identifier: Apache-2.0 */
/* Each member by its symbol; all of them, or none is used. */
#include "services/provisioner/libvirt_load.h"

#include <dlfcn.h>
#include <string.h>

#include "lib/log.h"
#include "lib/mem.h"

#define LIBRARY "libvirt.so.0"

struct libvirt vir;

#define LIBVIRT_ROW(name) { "vir" #name, &vir.name },
static const struct {
	const char *symbol;
	void *member; /* a pointer to a function, which is as wide as one to data */
} rows[] = { LIBVIRT_FUNCTIONS(LIBVIRT_ROW) };

bool libvirt_load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; library && i < ARRAY_LEN(rows); i++) {
		void *function = dlsym(library, rows[i].symbol);

		if (!function)
			library = NULL;
		memcpy(rows[i].member, &function, sizeof(function));
	}
	if (!library)
		log_warn("there is no libvirt that could be used", "why", dlerror(), NULL);
	return library != NULL;
}
