/* SPDX-License-Identifier: Apache-2.0 */
/* Reading from a socket into an evbuffer, more than libevent's 4 KiB at a time. */
#ifndef STRONGROOM_HTTP_RECV_H
#define STRONGROOM_HTTP_RECV_H

#include <stddef.h>

struct evbuffer;

#define HTTP_RECV_MAX_BYTES (512u * 1024u)

/* What waits in the socket, up to `room`, past libevent's own buffer, which must be empty; it never
 * blocks. Returns how much; an end or a failure is left for libevent to see. */
size_t http_recv(int fd, struct evbuffer *in, size_t room);

#endif
