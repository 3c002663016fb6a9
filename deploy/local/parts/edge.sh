# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# nginx as the edge: TLS, and which service answers which prefix. It runs without privileges in the stack's own folders.

# The port is chosen at the first start and kept; EDGE_PORT=n chooses it by hand.
choose_port() {
	local file=$ROOT/etc/edge-port port=${EDGE_PORT:-}
	[ -n "$port" ] || port=$(cat "$file" 2>/dev/null) || port=$(free_port)
	[[ $port =~ ^[0-9]+$ ]] || die "EDGE_PORT '$port' is not a number"
	echo "$port" | put_file "$file" 644 0
	EDGE_PORT=$port
	BASE_URL=https://127.0.0.1:$port
	echo "$BASE_URL" | put_file "$ROOT/etc/base-url" 644 0
}

# Below the range that the kernel hands out to clients.
free_port() {
	local port
	while port=$((20000 + RANDOM % 12000)); do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

edge_routes() {
	cat <<-'END'
		certreg      /v1/(?:tenants|members|invitations|spaces|keys|challenges|certificates|token|registry-token|audit|crl)(?:[/:]|$)
		certreg      /v1/ocsp$
		certreg      /[.]well-known/
		provisioner  /v1/(?:templates|sandboxes|enrolments|quotas|attestation-keys|agent/attestations)(?:[/:]|$)
		registry-gw  /v2(?:/|$)
		registry-gw  /v1/(?:images|registry)(?:[/:]|$)
		policy       /v1/(?:policies|constraints|pipelines|datasets|projections|apps|app-configs|tasks|workflows|orders)(?:[/:]|$)
		orchestrator /v1/(?:runs|objects|agent)(?:[/:]|$)
	END
}

edge_upstreams() {
	local service
	for service in "${SERVICES[@]}"; do
		printf '\tupstream %s { server unix:%s max_fails=0; keepalive 128; }\n' "$service" "$RUN/$service/http.sock"
	done
}

# What is refused under /v2 reads as OCI has it.
edge_locations() {
	local service pattern pages
	while read -r service pattern; do
		pages=
		[ "${pattern#/v2}" = "$pattern" ] ||
			pages=' error_page 429 = @limited_oci; error_page 502 504 = @unavailable_oci; error_page 400 = @refused_oci;'
		printf "\t\tlocation ~ '^%s' {%s proxy_pass %s://%s; }\n" "$pattern" "$pages" "${EDGE_SCHEME:-http}" "$service"
	done < <(edge_routes)
	# longer than the service lets a sandbox's connection to the outside be idle
	printf "\t\tlocation = /v1/agent/egress { limit_conn egress 384; proxy_read_timeout 310s; proxy_send_timeout 310s; send_timeout 310s; proxy_pass %s://orchestrator; }\n" \
		"${EDGE_SCHEME:-http}"
	printf "\t\tlocation ~ '^/v1/ocsp/' { proxy_pass %s://certreg/v1/ocsp?request=\$ocsp_request; }\n" "${EDGE_SCHEME:-http}"
}

edge_listen() {
	echo "		listen 127.0.0.1:$EDGE_PORT ssl reuseport backlog=1024;"
	if grep -q ' lo$' /proc/net/if_inet6 2>/dev/null; then
		echo "		listen [::1]:$EDGE_PORT ssl reuseport backlog=1024;"
	fi
}

# Workers of a master that was killed go on listening.
end_old_workers() {
	local pid
	for pid in $(stragglers); do
		case $(readlink "/proc/$pid/exe" 2>/dev/null) in */nginx*) end_process "$pid" TERM ;; esac
	done
}

edge_conf() {
	UPSTREAMS=$(edge_upstreams) LOCATIONS=$(edge_locations) LISTEN=$(edge_listen) ROOT=$ROOT awk '
		/^@[A-Z]+@$/ { print ENVIRON[substr($0, 2, length($0) - 2)]; next }
		{ gsub(/@STACK@/, ENVIRON["ROOT"]); print }' "$SOURCE/deploy/local/conf/edge.conf.in"
}

start_edge() {
	end_old_workers
	command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || die "no nginx: run 'make install-deps'"
	edge_conf | put_file "$ROOT/etc/edge.conf" 644 0
	launch edge /usr/sbin/nginx -e stderr -p "$ROOT/edge/" -c "$ROOT/etc/edge.conf"
}

# Any answer counts: the edge knows no route "/".
probe_edge() {
	local status
	status=$(curl -q --noproxy '*' -s -o /dev/null -w '%{http_code}' --max-time 5 \
		--cacert "$ROOT/pki/ca.pem" "$BASE_URL/")
	[ "$status" = 404 ]
}
