/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes as their owners see them: intents in, state and evidence out. The work is
 * lifecycle.c's. */
#ifndef PROVISIONER_SANDBOXES_H
#define PROVISIONER_SANDBOXES_H

#include "lib/web.h"

web_handler sandbox_create;
web_handler sandbox_list;
web_handler sandbox_show;
web_handler sandbox_start;
web_handler sandbox_stop;
web_handler sandbox_delete;
web_handler sandbox_console;
web_handler sandbox_internal;  /* certreg and orchestrator ask for the machine keys */
web_handler sandbox_of_tenant; /* certreg and orchestrator ask for the machine keys */

#endif
