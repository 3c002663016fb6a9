/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects: encrypted bytes that clients and agents hand each other. POST makes one, PATCH appends
 * at the offset that HEAD tells, PUT ?digest= closes it after the whole file was hashed, GET serves
 * ranges. The file's size is the offset, so an upload goes on byte-exact after any crash. One
 * writer at a time (flock).
 */
#ifndef ORCHESTRATOR_OBJECTS_H
#define ORCHESTRATOR_OBJECTS_H

#include "lib/web.h"
#include "lib/web_stream.h"

web_handler object_create;	  /* members: inputs */
web_handler object_create_output; /* agents: the output of the run they are in */
web_handler object_get;
web_handler object_head;
web_handler object_close;
web_handler object_delete;
extern const struct web_stream_ops object_upload;

/* Makes the folder. */
int objects_init(struct worker *worker, struct err *err);

#endif
