/* SPDX-License-Identifier: Apache-2.0 */
/* Redis streams, as wake_redis.h says. No consumer group: every copy of a service hears all. */
#include "lib/wake_redis.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/id.h"
#include "lib/log.h"
#include "lib/mem.h"

#define STREAM_PREFIX "{strongroom}:wake:"
#define PROBE_TOPIC "probe"
#define MAX_TOPICS 15u
#define BATCH_MAX 64u /* rings in one round trip */
#define PROBE_BEAT_MS 5000
#define BACKOFF_FIRST_MS 50u
#define BACKOFF_MAX_MS 2000u

struct stream {
	char *topic;
	char *name;
	char last_id[48]; /* the entry we have read to */
};

struct wake_redis {
	const struct redis_conf *conf; /* NULL: no Redis */
	struct stream streams[MAX_TOPICS + 1];
	size_t n_streams; /* the last one is the probe's */
	void (*on_ring)(void *arg, const char *topic, const char *key);
	void *arg;
	char sender[ID_SIZE];		   /* marks our own entries, which need no second ring */
	struct redis_conn *reader, *adder; /* both or none */
	unsigned backoff_ms;
	long long retry_ms;    /* when to connect again */
	long long probe_ms;    /* when to send the next probe */
	atomic_llong heard_ms; /* when a probe came back; 0: not on this connection */
};

/* --- connections --- */

/* Both connections go, and come again after a pause. */
static void lose(struct wake_redis *redis, const char *why)
{
	unsigned random;

	log_debug("wake-ups lost Redis", "why", why, NULL);
	redis_conn_free(take_ptr(redis->reader));
	redis_conn_free(take_ptr(redis->adder));
	atomic_store(&redis->heard_ms, 0);
	rand_bytes(&random, sizeof(random));
	redis->retry_ms = clock_monotonic_ms() + 1 + random % redis->backoff_ms;
	redis->backoff_ms =
		redis->backoff_ms * 2 < BACKOFF_MAX_MS ? redis->backoff_ms * 2 : BACKOFF_MAX_MS;
}

/* --- sending --- */

static bool append_ring(struct wake_redis *redis, const char *topic, const char *key)
{
	auto_free char *stream = mem_printf(STREAM_PREFIX "%s", topic);
	const char *const words[] = { "XADD", stream, "MAXLEN", "~", "1000", "*", "k", key, "s",
		redis->sender };

	return redis_conn_add(redis->adder, ARRAY_LEN(words), words);
}

static bool send_rings(struct redis_conn *conn, size_t count)
{
	bool is_fine = redis_conn_send(conn);

	while (is_fine && count-- > 0) {
		redisReply *reply;

		is_fine = redis_conn_take(conn, &reply);
		if (!is_fine)
			break;
		is_fine = reply->type != REDIS_REPLY_ERROR;
		freeReplyObject(reply);
	}
	return is_fine;
}

void wake_redis_add(struct wake_redis *redis, const struct wake_ring *rings)
{
	while (rings && redis->adder) {
		size_t count = 0;
		bool is_fine = true;

		for (; rings && count < BATCH_MAX && is_fine; rings = rings->next, count++)
			is_fine = append_ring(redis, rings->topic, rings->key);
		if (!is_fine || !send_rings(redis->adder, count))
			lose(redis, "XADD failed");
	}
}

static void send_probe(struct wake_redis *redis, long long now_ms)
{
	redis->probe_ms = now_ms + PROBE_BEAT_MS;
	if (!append_ring(redis, PROBE_TOPIC, redis->sender) || !send_rings(redis->adder, 1))
		lose(redis, "probe not sent");
}

/* --- reading --- */

static bool send_xread(struct wake_redis *redis)
{
	const char *words[5 + 2 * (MAX_TOPICS + 1)] = { "XREAD", "BLOCK", "0", "STREAMS" };
	int count = 4;

	for (size_t i = 0; i < redis->n_streams; i++)
		words[count++] = redis->streams[i].name;
	for (size_t i = 0; i < redis->n_streams; i++)
		words[count++] = redis->streams[i].last_id;
	return redis_conn_add(redis->reader, count, words) && redis_conn_send(redis->reader);
}

static bool is_list(const redisReply *reply, size_t count)
{
	return reply->type == REDIS_REPLY_ARRAY && reply->elements >= count;
}

static bool set_last_id(struct stream *stream, const redisReply *id)
{
	if (id->type != REDIS_REPLY_STRING || id->len >= sizeof(stream->last_id))
		return false;
	memcpy(stream->last_id, id->str, id->len + 1);
	return true;
}

/* '$' would be looked up again at each XREAD and lose what comes between two: so its value is taken
 * once. */
static bool find_end(struct redis_conn *conn, struct stream *stream)
{
	const char *const words[] = { "XREVRANGE", stream->name, "+", "-", "COUNT", "1" };
	redisReply *reply;
	bool is_found = false;

	if (!redis_conn_add(conn, ARRAY_LEN(words), words) || !redis_conn_send(conn) ||
		!redis_conn_take(conn, &reply))
		return false;
	if (is_list(reply, 0)) {
		memcpy(stream->last_id, "0-0", sizeof("0-0"));
		is_found = reply->elements == 0 ||
			   (is_list(reply->element[0], 1) &&
				   set_last_id(stream, reply->element[0]->element[0]));
	}
	freeReplyObject(reply);
	return is_found;
}

static void connect_both(struct wake_redis *redis)
{
	struct err err = { .kind = ERR_NONE };

	redis->reader = redis_conn_open(redis->conf, &err);
	redis->adder = redis->reader ? redis_conn_open(redis->conf, &err) : NULL;
	if (!redis->adder) {
		if (strcmp(err.code, "redis.unreachable") != 0)
			log_failure("Redis does not let us in", &err);
		lose(redis, err.detail);
		return;
	}
	for (size_t i = 0; i < redis->n_streams; i++) {
		if (!find_end(redis->reader, &redis->streams[i])) {
			lose(redis, "streams not readable");
			return;
		}
	}
	if (!send_xread(redis)) {
		lose(redis, "XREAD not sent");
		return;
	}
	send_probe(redis, clock_monotonic_ms());
}

/* One entry: [id, [k, key, s, sender]]. */
static bool take_entry(struct wake_redis *redis, struct stream *stream, const redisReply *entry)
{
	const redisReply *fields;
	const char *key, *sender;

	if (!is_list(entry, 2) || !set_last_id(stream, entry->element[0]))
		return false;
	fields = entry->element[1];
	if (!is_list(fields, 4) || fields->element[1]->type != REDIS_REPLY_STRING ||
		fields->element[3]->type != REDIS_REPLY_STRING)
		return true; /* not ours: passed over */
	key = fields->element[1]->str;
	sender = fields->element[3]->str;
	if (stream != &redis->streams[redis->n_streams - 1]) {
		if (strcmp(sender, redis->sender) != 0)
			redis->on_ring(redis->arg, stream->topic, key);
	} else if (strcmp(key, redis->sender) == 0) {
		atomic_store(&redis->heard_ms, clock_monotonic_ms());
		redis->backoff_ms = BACKOFF_FIRST_MS;
	}
	return true;
}

static struct stream *stream_named(struct wake_redis *redis, const redisReply *name)
{
	for (size_t i = 0; name->type == REDIS_REPLY_STRING && i < redis->n_streams; i++) {
		if (strcmp(redis->streams[i].name, name->str) == 0)
			return &redis->streams[i];
	}
	return NULL;
}

/* [[stream, [entry, …]], …] */
static bool take_streams(struct wake_redis *redis, const redisReply *reply)
{
	if (!is_list(reply, 1))
		return false;
	for (size_t i = 0; i < reply->elements; i++) {
		const redisReply *pair = reply->element[i];
		struct stream *stream =
			is_list(pair, 2) ? stream_named(redis, pair->element[0]) : NULL;

		if (!stream || !is_list(pair->element[1], 0))
			return false;
		for (size_t j = 0; j < pair->element[1]->elements; j++) {
			if (!take_entry(redis, stream, pair->element[1]->element[j]))
				return false;
		}
	}
	return true;
}

void wake_redis_read(struct wake_redis *redis)
{
	redisReply *reply = NULL;
	bool is_fine;

	if (!redis_conn_read(redis->reader) || !redis_conn_next(redis->reader, &reply)) {
		lose(redis, "connection ended");
		return;
	}
	if (!reply)
		return; /* more to come */
	is_fine = take_streams(redis, reply) && send_xread(redis);
	freeReplyObject(reply);
	if (!is_fine)
		lose(redis, "bad answer to XREAD");
}

int wake_redis_fd(const struct wake_redis *redis)
{
	return redis->reader ? redis_conn_fd(redis->reader) : -1;
}

/* --- the beat, making and freeing --- */

static bool is_silent(const struct wake_redis *redis)
{
	return atomic_load(&redis->heard_ms) < redis->probe_ms - PROBE_BEAT_MS;
}

int wake_redis_look_after(struct wake_redis *redis)
{
	long long now_ms = clock_monotonic_ms();
	long long next_ms;

	if (!redis->conf)
		return -1;
	if (!redis->reader && now_ms >= redis->retry_ms)
		connect_both(redis);
	else if (redis->reader && now_ms >= redis->probe_ms && is_silent(redis))
		lose(redis, "probe did not come back");
	else if (redis->reader && now_ms >= redis->probe_ms)
		send_probe(redis, now_ms);
	now_ms = clock_monotonic_ms();
	next_ms = redis->reader ? redis->probe_ms : redis->retry_ms;
	return next_ms > now_ms ? (int)(next_ms - now_ms) : 0;
}

bool wake_redis_is_ok(const struct wake_redis *redis)
{
	return !redis->conf || atomic_load(&redis->heard_ms);
}

bool wake_redis_listens(const struct wake_redis *redis, const char *topic)
{
	for (size_t i = 0; i + 1 < redis->n_streams; i++) {
		if (strcmp(redis->streams[i].topic, topic) == 0)
			return true;
	}
	return false;
}

static void add_stream(struct wake_redis *redis, const char *topic)
{
	struct stream *stream = &redis->streams[redis->n_streams++];

	stream->topic = mem_strdup(topic);
	stream->name = mem_printf(STREAM_PREFIX "%s", topic);
}

struct wake_redis *wake_redis_new(const struct redis_conf *conf, const char *const *topics,
	size_t n_topics, void (*on_ring)(void *arg, const char *topic, const char *key), void *arg)
{
	struct wake_redis *redis = mem_alloc(sizeof(*redis));

	assert(n_topics <= MAX_TOPICS);
	redis->conf = conf;
	for (size_t i = 0; i < n_topics; i++)
		add_stream(redis, topics[i]);
	add_stream(redis, PROBE_TOPIC);
	redis->on_ring = on_ring;
	redis->arg = arg;
	redis->backoff_ms = BACKOFF_FIRST_MS;
	id_new("wake", redis->sender);
	return redis;
}

void wake_redis_free(struct wake_redis *redis)
{
	redis_conn_free(take_ptr(redis->reader));
	redis_conn_free(take_ptr(redis->adder));
	for (size_t i = 0; i < redis->n_streams; i++) {
		free(redis->streams[i].topic);
		free(redis->streams[i].name);
	}
	free(redis);
}
