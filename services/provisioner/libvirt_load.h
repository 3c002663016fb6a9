/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's functions as members of `vir`, under their names without that prefix. The library is
 * loaded when a sandbox of that driver asks for it first: with all that it brings it is a third of
 * this service's memory, and most hosts never need it.
 */
#ifndef PROVISIONER_LIBVIRT_LOAD_H
#define PROVISIONER_LIBVIRT_LOAD_H

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdbool.h>

#define LIBVIRT_FUNCTIONS(X)                                                                       \
	X(ConnectClose)                                                                            \
	X(ConnectIsAlive)                                                                          \
	X(ConnectListAllDomains)                                                                   \
	X(ConnectOpen)                                                                             \
	X(ConnectRef)                                                                              \
	X(ConnectSetKeepAlive)                                                                     \
	X(DomainCreateXML)                                                                         \
	X(DomainDestroy)                                                                           \
	X(DomainDestroyFlags)                                                                      \
	X(DomainFree)                                                                              \
	X(DomainGetMetadata)                                                                       \
	X(DomainGetName)                                                                           \
	X(DomainIsActive)                                                                          \
	X(DomainIsPersistent)                                                                      \
	X(DomainLookupByName)                                                                      \
	X(DomainUndefineFlags)                                                                     \
	X(EventRegisterDefaultImpl)                                                                \
	X(EventRunDefaultImpl)                                                                     \
	X(GetLastError)                                                                            \
	X(GetLastErrorCode)                                                                        \
	X(GetLastErrorMessage)                                                                     \
	X(Initialize)                                                                              \
	X(SetErrorFunc)

#define LIBVIRT_MEMBER(name) __typeof__(vir##name) *name;
struct libvirt {
	LIBVIRT_FUNCTIONS(LIBVIRT_MEMBER)
};

extern struct libvirt vir;

/* Once, before anything of `vir` is called; says in the log why not. */
bool libvirt_load(void);

#endif
