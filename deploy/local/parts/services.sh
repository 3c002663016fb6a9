# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The five services. A configuration file is the rows that all services share (lib/service.h) and the service's own rows from
# conf/<service>.conf.in, where @NAME@ stands for a name of the stack.

socket_of() {
	echo "unix:$RUN/$1/http.sock"
}

# Where a service listens and finds the others; deploy/compose has its own.
address_rows() {
	local service=$1 role peer
	role=$(role_of "$service")
	cat <<-END
		listen = $(socket_of "$service")
		database = host=$RUN/postgres user=$role dbname=strongroom passfile=$ROOT/keys/$role.pgpass application_name=$service
		migrate_database = host=$RUN/postgres user=${role}_owner dbname=strongroom passfile=$ROOT/keys/${role}_owner.pgpass application_name=$service-migrate
		redis = unix:$RUN/redis/redis.sock
	END
	for peer in "${SERVICES[@]}"; do
		echo "${peer//-/_}_url = $(socket_of "$peer")"
	done
}

common_rows() {
	cat <<-END
		# made at each start from conf/$1.conf.in: edit that
		base_url = $BASE_URL
		# the edge as guests reach it (launcher/launch.h)
		edge_names = 10.0.2.2:8443
		service_key = $ROOT/keys/$1.pem
		peers_dir = $ROOT/peers
		log_level = ${LOG_LEVEL:-info}
		rate_per_key = ${RATE_PER_KEY:-500}
		rate_per_source = ${RATE_PER_SOURCE:-100}
	END
	address_rows "$1"
}

# Replaces @NAME@ by the stack's values; an unknown name is an error.
substitute() {
	sed -e "s|@STACK@|$ROOT|g" -e "s|@RUN@|$RUN|g" -e "s|@KEYS@|$ROOT/keys|g" -e "s|@CA@|$ROOT/pki/ca.pem|g" \
		-e "s|@SOURCE@|$SOURCE|g" -e "s|@BUILD@|$BUILD|g" -e "s|@BASE_URL@|$BASE_URL|g" \
		-e "s|@EDGE_PORT@|$EDGE_PORT|g" -e "s|@UID_BASE@|$UID_BASE|g" -e "s|@SANDBOX_UID@|$(sandbox_uid)|g" -e "s|@BIN@|$ROOT/bin|g" \
		-e "s|@GUEST@|$ROOT/guest|g" -e "s|@TOFU@|${TOFU:-}|g" -e "s|@TOFU_PORT@|$(tofu_port)|g" \
		-e "s|@TOFU_DRIFT@|${TOFU_DRIFT:-10m}|g" -e "s|@POOL@|${POOL:-}|g" -e "s|@FETCH_PREFIXES@|${FETCH_PREFIXES:-}|g" \
		-e "s|@FETCH_PORTS@|${FETCH_PORTS:-443}|g" -e "s|@HOST_SANDBOXES@|${HOST_SANDBOXES:-200}|g" "$1" |
		awk '/@[A-Z_]+@/ && !/^#/ { print "unknown name: " $0 > "/dev/stderr"; bad = 1 } { print } END { exit bad }'
}

# Where tofu finds its state; chosen at the first start that has TOFU, and kept.
tofu_port() {
	[ -n "${TOFU:-}" ] || { echo 0; return; }
	[ -e "$ROOT/etc/tofu-port" ] || free_port | put_file "$ROOT/etc/tofu-port" 644 0
	cat "$ROOT/etc/tofu-port"
}

configure_service() {
	local service=$1 template=$HERE/conf/$1.conf.in own=
	own=$(substitute "$template") || die "'$template' cannot be filled in"
	{
		common_rows "$service"
		echo "$own"
	} | put_file "$ROOT/etc/$service.conf" 644 0
}

# Programs run from a copy in the stack: a rebuild does not pull them away, and their users can reach it.
copy_program() {
	[ -x "$BUILD/bin/$1" ] || die "'$1' is not built: run 'make'"
	cmp -s "$BUILD/bin/$1" "$ROOT/bin/$1" || install -m 755 "$BUILD/bin/$1" "$ROOT/bin/$1"
}

# The VM's kernel and initramfs and the launcher, which start QEMU under uids of its own. Files of running VMs stay what
# they are: install makes new ones.
copy_guest() {
	local file
	make_dir "$ROOT/guest" 755 0 0
	for file in "$BUILD"/guest/*; do
		[ ! -f "$file" ] || cmp -s "$file" "$ROOT/guest/${file##*/}" || install -m 644 "$file" "$ROOT/guest/"
	done
	copy_program strongroom-launch
	copy_program strongroom-relay
	copy_program strongroom-run
}

# The verifier key of the audit log's checkpoints (c2sp.org/signed-note), under the name that certreg gives the log.
log_key() {
	local name=${BASE_URL#https://} id
	name=${name%%/*}/audit
	id=$({ printf '%s\n\1' "$name" && log_public_key; } | sha256sum | cut -c 1-8)
	printf '%s+%s+%s' "$name" "$id" "$({ printf '\1' && log_public_key; } | base64 -w 0)"
}

log_public_key() {
	openssl pkey -in "$ROOT/keys/audit-log-key.pem" -pubout -outform der | tail -c 32
}

# What clients verify evidence and measurements against (`strongroom configure --trust`). On a stack of one's own it may
# come from the same hand; else it travels on another way than the server.
write_trust() {
	local template templates='' id version references
	for template in "$SOURCE"/deploy/templates/*/template.yaml; do
		id=$(awk '$1 == "id:" { print $2; exit }' "$template")
		version=$(awk '$1 == "version:" { print $2; exit }' "$template")
		references=$(reference_values "$template") || die "no reference values for the template '$id'"
		templates+="${templates:+,}\"$id\":{\"version\":$version,$(grep -oE '"(kernel|initramfs|agent)":"sha256:[0-9a-f]{64}"' \
			"$ROOT/guest/guest.json" | paste -sd ,)${references:+,\"references\":[$references]}}"
	done
	printf '{"v":"strongroom-trust-1","edge_ca_spki":"sha256:%s","templates":{%s},"vtpm_ca":"%s","log_key":"%s"}\n' \
		"$(openssl x509 -in "$ROOT/pki/ca.pem" -pubkey -noout | openssl pkey -pubin -outform der |
			sha256sum | cut -d ' ' -f 1)" "$templates" "$(openssl x509 -in "$ROOT/pki/vtpm-ca.pem" | awk '{ printf "%s\\n", $0 }')" \
		"$(log_key)" | put_file "$ROOT/credentials/trust.json" 644 0
}

# What a measured template's boot must show, with its default memory; nothing for the others.
reference_values() {
	local memory
	grep -q '^class: software-tpm' "$1" || return 0
	memory=$(awk '$3 == "memory_mib" { found = 1 } found && $1 == "default:" { gsub(/"/, "", $2); print $2; exit }' "$1")
	"$BUILD/bin/strongroom" template measure --guest "$ROOT/guest" --memory "$memory" 2>>"$ROOT/log/measure.log"
}

# prepare_service SERVICE: program, configuration, tables
prepare_service() {
	copy_program "strongroom-$1"
	[ "$1" != provisioner ] || { copy_guest && configure_vtpm && write_trust; }
	configure_service "$1"
	run_as migrate "$ROOT/bin/strongroom-$1" --config "$ROOT/etc/$1.conf" --migrate >>"$ROOT/log/$1.log" 2>&1 ||
		{ show_failure "$1"; die "the tables of '$1' could not be brought up to date"; }
}

start_service() {
	launch "$1" "$ROOT/bin/strongroom-$1" --config "$ROOT/etc/$1.conf"
}

# The first tenant, its members and their API keys: 0600 files that belong to whoever started the stack.
bootstrap() {
	[ ! -e "$ROOT/etc/bootstrapped" ] || return 0
	say "makes the first tenant; its API keys are in $STACK/credentials"
	run_as certreg "$ROOT/bin/strongroom-certreg" --config "$ROOT/etc/certreg.conf" \
		--bootstrap "$ROOT/credentials" >>"$ROOT/log/certreg.log" 2>&1 ||
		{ show_failure certreg; die "the first tenant could not be made"; }
	! is_root || chown -R "${SUDO_UID:-0}:${SUDO_GID:-0}" "$ROOT/credentials"
	date -u +%FT%TZ >"$ROOT/etc/bootstrapped"
}

probe_service() {
	http_get --unix-socket "$RUN/$1/http.sock" http://localhost/readyz
}
probe_certreg() { probe_service certreg; }
probe_provisioner() { probe_service provisioner; }
probe_registry_gw() { probe_service registry-gw; }
probe_policy() { probe_service policy; }
probe_orchestrator() { probe_service orchestrator; }
