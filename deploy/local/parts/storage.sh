# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Redis (wake-ups) and the Docker Registry (images), each on a unix socket of its own.

redis_settings() {
	cat <<-END
		unixsocket $RUN/redis/redis.sock
		unixsocketperm 660
		dir $ROOT/redis
		appendonly yes
		appendfsync everysec
		save ""
		maxmemory 128mb
		maxmemory-policy noeviction
		daemonize no
		loglevel notice
	END
}

start_redis() {
	command -v redis-server >/dev/null || die "no redis-server: run 'make install-deps'"
	{ redis_settings && echo "port 0"; } | put_file "$ROOT/etc/redis.conf" 644 0
	launch redis redis-server "$ROOT/etc/redis.conf"
}

probe_redis() {
	[ "$(redis-cli -s "$RUN/redis/redis.sock" ping)" = PONG ]
}

# Its http.secret signs the state of uploads; registry-gw has a copy and makes that state anew after a crash.
registry_settings() {
	cat <<-END
		version: 0.1
		log: {level: warn, formatter: json, accesslog: {disabled: true}}
		storage:
		  filesystem: {rootdirectory: $ROOT/registry}
		  delete: {enabled: true}
		  cache: {blobdescriptor: inmemory}
		http:
		  net: unix
		  addr: $RUN/registry/http.sock
		  secret: $(cat "$ROOT/keys/registry-http-secret")
		  headers: {X-Content-Type-Options: [nosniff]}
	END
}

start_registry() {
	command -v docker-registry >/dev/null || die "no docker-registry: run 'make install-deps'"
	registry_settings | put_file "$ROOT/etc/registry.yml" 600 "$(uid_of registry)"
	launch registry docker-registry serve "$ROOT/etc/registry.yml"
}

probe_registry() {
	http_get --unix-socket "$RUN/registry/http.sock" http://localhost/v2/
}

http_get() {
	curl -q --noproxy '*' -sS -f -o /dev/null --max-time 5 "$@"
}
