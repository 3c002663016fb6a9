/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one connection of this process to libvirt: the daemon of the host when there is one, else
 * libvirt in this very process (qemu:///embed), or what libvirt_uri says. Shared by all threads;
 * opened again when it was lost, and given up when the daemon stops answering.
 */
#ifndef PROVISIONER_LIBVIRT_CONN_H
#define PROVISIONER_LIBVIRT_CONN_H

#include <libvirt/libvirt.h>
#include <stdbool.h>

#include "lib/err.h"
#include "services/provisioner/config.h"

/* A reference: vir.ConnectClose() it, or let auto_virt do so. libvirt.unreachable, .missing. */
int libvirt_conn_get(const struct provisioner_conf *conf, virConnectPtr *ret_virt, struct err *err);
/* Whether libvirt can be there at all: a host without it has no domains of ours either. */
bool libvirt_conn_is_there(const struct provisioner_conf *conf);
/* The last failure of this thread, as libvirt.<what>; "what" it was about. Returns -1. */
int libvirt_conn_failed(struct err *err, const char *what);

void libvirt_conn_cleanup(virConnectPtr *virt);
#define auto_virt __attribute__((cleanup(libvirt_conn_cleanup)))
void libvirt_domain_cleanup(virDomainPtr *domain);
#define auto_domain __attribute__((cleanup(libvirt_domain_cleanup)))

#endif
