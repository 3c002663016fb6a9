/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives lib/wake.h from test_wake.py: listens to the topics in argv at the address in REDIS and
 * prints "rung TOPIC KEY" for each ring (REDIS_USER, REDIS_PASSWORD_FILE and REDIS_CA as in
 * lib/redis_conn.h). Commands: "ring TOPIC KEY" (prints "sent MICROSECONDS"), "ok" (prints "ok
 * 0|1"), "flood N" (N rings of topic run from two threads, then "sent MICROSECONDS").
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/redis_conn.h"
#include "lib/wake.h"

struct flood {
	struct wake *wake;
	long count;
};

static void on_ring(void *arg, const char *topic, const char *key)
{
	(void)arg;
	printf("rung %s %s\n", topic, key);
}

static long long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static void *flood(void *arg)
{
	const struct flood *work = arg;
	char key[24];

	for (long i = 0; i < work->count; i++) {
		snprintf(key, sizeof(key), "key-%ld", i);
		wake_ring(work->wake, "run", key);
	}
	return NULL;
}

static void flood_twice(struct wake *wake, long count)
{
	struct flood work = { .wake = wake, .count = count / 2 };
	pthread_t second;

	if (pthread_create(&second, NULL, flood, &work))
		exit(2);
	flood(&work);
	pthread_join(second, NULL);
}

static void obey(struct wake *wake, const char *command, const char *topic, const char *key)
{
	long long start_us = now_us();

	if (strcmp(command, "ok") == 0) {
		printf("ok %d\n", wake_ok(wake));
		return;
	}
	if (strcmp(command, "ring") == 0)
		wake_ring(wake, topic, key);
	else
		flood_twice(wake, strtol(topic, NULL, 10));
	printf("sent %lld\n", now_us() - start_us);
}

static const char *setting(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

int main(int argc, char **argv)
{
	char line[256], *words[3];
	const struct redis_conf conf = { setting("REDIS"), setting("REDIS_USER"),
		setting("REDIS_PASSWORD_FILE"), setting("REDIS_CA"), "", "" };
	struct wake *wake;

	log_open("probe", LOG_LEVEL_WARN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	wake = wake_new(&conf, (const char *const *)argv + 1, (size_t)argc - 1, on_ring, NULL);
	while (fgets(line, sizeof(line), stdin)) {
		char *rest = line;

		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			words[i] = rest ? strsep(&rest, " ") : NULL;
		obey(wake, words[0], words[1], words[2]);
	}
	wake_free(wake);
	return 0;
}
