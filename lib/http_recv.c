/* SPDX-License-Identifier: Apache-2.0 */
/* http_recv.h: one recv() of as much as there is. */
#include "lib/http_recv.h"

#include <event2/buffer.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

size_t http_recv(int fd, struct evbuffer *in, size_t room)
{
	size_t want = room < HTTP_RECV_MAX_BYTES ? room : HTTP_RECV_MAX_BYTES;
	struct evbuffer_iovec space;
	int waiting = 0;
	ssize_t got;

	if (ioctl(fd, FIONREAD, &waiting) < 0 || waiting <= 0)
		return 0;
	if (want > (size_t)waiting)
		want = (size_t)waiting;
	if (want == 0 || evbuffer_reserve_space(in, (ev_ssize_t)want, &space, 1) != 1)
		return 0;
	got = recv(fd, space.iov_base, want, MSG_DONTWAIT);
	space.iov_len = got > 0 ? (size_t)got : 0;
	evbuffer_commit_space(in, &space, 1);
	return space.iov_len;
}
