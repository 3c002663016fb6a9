/* SPDX-License-Identifier: Apache-2.0 */
/* Detects emulation by CPUID and executes the agent again with OpenSSL's CPU mask. */
#include "agent/tcg.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define MASK_NAME "OPENSSL_ia32cap"
#define MASK "~0x1000020000000000:~0x20000128"

bool tcg_is_emulated(void)
{
	unsigned eax, ebx, ecx, edx, name[3];

	__cpuid(1, eax, ebx, ecx, edx);
	if (!(ecx & (1u << 31))) /* no hypervisor, so no such leaf */
		return false;
	__cpuid(0x40000000, eax, name[0], name[1], name[2]);
	return memcmp(name, "TCGTCGTCGTCG", 12) == 0;
}

void tcg_reexec(char **argv)
{
	const char *self = (const char *)getauxval(AT_EXECFN); /* /proc is not mounted yet */

	if (getenv(MASK_NAME) || !tcg_is_emulated() || !self)
		return;
	setenv(MASK_NAME, MASK, 1);
	execv(self, argv);
}
