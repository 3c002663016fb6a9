# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Postgres: a cluster of its own, reachable by a unix socket only. Each service has three roles, as
# docs/ROW-LEVEL-SECURITY.md says; its schema is made by its own `--migrate`.

PG_BIN=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)

role_of() {
	echo "${1//-/_}"
}

# The administrator comes in by his system user, without a password: root, postgres, or whoever started the stack.
pg_admin() {
	PGHOST=$RUN/postgres PGUSER=postgres "$PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 "$@"
}

probe_postgres() {
	"$PG_BIN/pg_isready" -q -h "$RUN/postgres" -U postgres -d postgres
}

# A copy of a service opens one connection for each worker: at most as many as cores, and 32 (docs/deploy.md).
pg_settings() {
	cat <<-END
		listen_addresses = ''
		unix_socket_directories = '$RUN/postgres'
		unix_socket_permissions = 0770
		max_connections = $((500 + 10 * $(nproc)))
		shared_buffers = 128MB
		effective_cache_size = 1GB
		max_wal_size = 1GB
		password_encryption = 'scram-sha-256'
		timezone = 'UTC'
		log_timezone = 'UTC'
		jit = off
		# what clients sent stays out of the log
		log_line_prefix = '%m [%p] %u '
		log_statement = 'none'
		log_error_verbosity = 'terse'
		log_min_error_statement = 'panic'
		log_parameter_max_length = 0
		log_parameter_max_length_on_error = 0
	END
}

pg_init() {
	local data=$ROOT/postgres/data
	[ ! -e "$data/PG_VERSION" ] || return 0
	say "makes the database cluster"
	run_as postgres "$PG_BIN/initdb" -D "$data" -U postgres -E UTF8 --locale=C.UTF-8 --data-checksums \
		--auth=reject --no-instructions >>"$ROOT/log/postgres.log" 2>&1 ||
		{ show_failure postgres; die "initdb failed"; }
}

pg_configure() {
	local data=$ROOT/postgres/data uid
	uid=$(uid_of postgres)
	pg_settings | put_file "$data/postgresql.auto.conf" 600 "$uid"
	put_file "$data/pg_hba.conf" 600 "$uid" <<-END
		local all postgres peer map=admin
		local strongroom all scram-sha-256
		local all all reject
	END
	for name in root postgres "$(id -un)"; do
		echo "admin $name postgres"
	done | sort -u | put_file "$data/pg_ident.conf" 600 "$uid"
}

start_postgres() {
	[ -x "$PG_BIN/postgres" ] || die "no Postgres: run 'make install-deps'"
	rotate_log postgres
	pg_init
	pg_configure
	clear_crash
	launch postgres "$PG_BIN/postgres" -D "$ROOT/postgres/data"
}

# Backends of a postmaster that was killed hold its shared memory for a moment; its lock files are believed for
# as long as anything has that pid, even a zombie that nobody collects.
clear_crash() {
	local data=$ROOT/postgres/data deadline=$((SECONDS + LIMIT_S)) pid
	for pid in $(stragglers); do
		while [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$data" ]; do
			[ $SECONDS -lt $deadline ] || die "an old Postgres process does not end: $pid"
			sleep 0.05
		done
	done
	rm -f "$data/postmaster.pid" "$RUN"/postgres/.s.PGSQL.*
}

# SQL that makes a service's roles when they are missing and sets the passwords to those of the password files.
# It travels by a pipe, and no log shows it (pg_settings).
role_sql() {
	local role=$1
	cat <<-END
		SELECT 'CREATE ROLE ${role}_owner LOGIN' WHERE to_regrole('${role}_owner') IS NULL \gexec
		SELECT 'CREATE ROLE $role LOGIN NOINHERIT' WHERE to_regrole('$role') IS NULL \gexec
		SELECT 'CREATE ROLE ${role}_sweep NOLOGIN' WHERE to_regrole('${role}_sweep') IS NULL \gexec
		ALTER ROLE ${role}_owner PASSWORD '$(cut -d: -f5 "$ROOT/keys/${role}_owner.pgpass")';
		ALTER ROLE $role PASSWORD '$(cut -d: -f5 "$ROOT/keys/$role.pgpass")';
		GRANT ${role}_sweep TO $role;
		GRANT CREATE, CONNECT ON DATABASE strongroom TO ${role}_owner;
		GRANT CONNECT ON DATABASE strongroom TO $role;
	END
}

create_roles() {
	local service
	{
		cat <<-'END'
			SET client_min_messages = warning;
			SELECT 'CREATE DATABASE strongroom' WHERE NOT EXISTS
				(SELECT FROM pg_database WHERE datname = 'strongroom') \gexec
			\connect strongroom
			SET client_min_messages = warning;
			REVOKE ALL ON DATABASE strongroom FROM PUBLIC;
			REVOKE ALL ON SCHEMA public FROM PUBLIC;
		END
		for service in "${SERVICES[@]}"; do
			role_sql "$(role_of "$service")"
		done
	} | pg_admin -d postgres
}
