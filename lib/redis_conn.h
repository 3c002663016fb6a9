/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to Redis: hiredis reads and writes the protocol, the way is ours (unix socket, TCP,
 * TLS by OpenSSL, the master that Sentinels name), because hiredis has TLS and a time-out for a
 * peer that takes no bytes only in versions that Debian 12 lacks. Every step blocks for a short
 * time at most; looking a name up takes as long as the system's resolver. Belongs to one thread.
 */
#ifndef STRONGROOM_REDIS_CONN_H
#define STRONGROOM_REDIS_CONN_H

#include <hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

struct redis_conn;

struct redis_conf {
	const char *address;	   /* redis_address.h */
	const char *user;	   /* of the ACL; "": "default" */
	const char *password_file; /* its first line, read at each connect; "": no AUTH */
	const char *ca_file;	   /* who vouches for Redis' certificate; "": the system's */
	const char *cert, *key;	   /* ours, where Redis asks for one; "": none */
};

/* Connected and logged in, or NULL: redis.unreachable, redis.refused, redis.no_master,
 * redis.bad_address. */
struct redis_conn *redis_conn_open(const struct redis_conf *conf, struct err *err);
void redis_conn_free(struct redis_conn *conn);

/* All of these: false when the connection is of no use any more. */
bool redis_conn_add(
	struct redis_conn *conn, int argc, const char *const *argv); /* waits for send */
bool redis_conn_send(struct redis_conn *conn);
bool redis_conn_take(struct redis_conn *conn, redisReply **ret_reply); /* waits for it */
/* What is there to read, without waiting. Then redis_conn_next() until it gives NULL. */
bool redis_conn_read(struct redis_conn *conn);
bool redis_conn_next(struct redis_conn *conn, redisReply **ret_reply);

int redis_conn_fd(const struct redis_conn *conn); /* to poll */

#endif
