# shellcheck shell=bash disable=SC2034 # names for the other files
# SPDX-License-Identifier: Apache-2.0
# What differs in containers from deploy/local, whose functions are used here: each part is alone with its own keys, and the
# others are names on a network. Sourced by `enter` behind the files of deploy/local/parts.

ROOT=/srv/strongroom
RUN=$ROOT/run
SOURCE=$ROOT/source
STACK=$ROOT
BUILD=$ROOT
STACK_ID=compose
BASE_URL=${STRONGROOM_URL:-https://127.0.0.1:8443}
EDGE_PORT=8443
EDGE_SCHEME=https
readonly PART_PORT=8443
readonly KEPT_PARTS=("${SERVICES[@]}" edge postgres redis registry migrate)

uid_of() {
	case $1 in
	postgres) echo $((UID_BASE + 10)) ;;
	redis) echo $((UID_BASE + 11)) ;;
	registry) echo $((UID_BASE + 12)) ;;
	provisioner) echo 0 ;;
	*) echo $((UID_BASE + UID_OFFSET[$1])) ;;
	esac
}

gid_of() {
	uid_of "$1"
}

# --- configuration of a service ---

address_rows() {
	local service=$1 role peer
	local database="host=postgres dbname=strongroom sslmode=verify-full sslrootcert=$ROOT/pki/parts-ca.pem"
	role=$(role_of "$service")
	cat <<-END
		listen = tcp:0.0.0.0:$PART_PORT
		tls_cert = $ROOT/keys/part.pem
		tls_key = $ROOT/keys/part.key
		tls_peer_ca = $ROOT/pki/parts-ca.pem
		database = $database user=$role passfile=$ROOT/keys/$role.pgpass application_name=$service
		migrate_database = $database user=${role}_owner passfile=$ROOT/keys/${role}_owner.pgpass application_name=$service-migrate
		redis = rediss://redis:6379
		redis_user = wakes
		redis_password_file = $ROOT/keys/redis-password
		start_wait = 10m
	END
	for peer in "${SERVICES[@]}"; do
		echo "${peer//-/_}_url = https://$peer:$PART_PORT"
	done
}

# Which names the edge's certificate has: those of the URL, of guests and of the compose network.
edge_alt_names() {
	local host=${BASE_URL#https://} names="IP:127.0.0.1, IP:::1, IP:10.0.2.2, DNS:localhost, DNS:edge"
	host=${host%%[:/]*}
	case $host in
	localhost | 127.0.0.1) ;;
	*[!0-9.]*) names+=", DNS:$host" ;;
	*) names+=", IP:$host" ;;
	esac
	echo "$names"
}

# --- keys: made by root in a volume that only `setup` mounts, and each part is given what is its own in a volume that it alone mounts ---

parts_certificate() {
	local name=$1 dir=$ROOT/keys cert=$ROOT/keys/$1.part.pem
	! openssl x509 -in "$cert" -noout -checkend 2592000 >/dev/null 2>&1 || return 0
	make_key "$dir/$name.part.key" 0
	openssl req -new -key "$dir/$name.part.key" -subj "/CN=$name" |
		openssl x509 -req -sha256 -days 825 -CA "$ROOT/pki/parts-ca.pem" -CAkey "$dir/parts-ca.key" \
			-set_serial "0x$(random_secret | cut -c1-30)" -extfile <(
			cat <<-END
				basicConstraints = critical, CA:FALSE
				keyUsage = critical, digitalSignature
				extendedKeyUsage = serverAuth, clientAuth
				subjectAltName = DNS:$name, DNS:localhost
				subjectKeyIdentifier = hash
				authorityKeyIdentifier = keyid
			END
		) 2>/dev/null | put_file "$cert" 600 0
}

make_parts_ca() {
	make_key "$ROOT/keys/parts-ca.key" 0
	[ -e "$ROOT/pki/parts-ca.pem" ] ||
		openssl req -x509 -new -key "$ROOT/keys/parts-ca.key" -sha256 -days 3650 -subj "/CN=Strongroom parts CA" \
			-addext basicConstraints=critical,CA:TRUE,pathlen:0 \
			-addext keyUsage=critical,keyCertSign,cRLSign | put_file "$ROOT/pki/parts-ca.pem" 644 0
}

# Redis knows the password's hash only. Who has no password may see whether it answers.
make_redis_users() {
	make_secret redis-password 0
	put_file "$ROOT/keys/users.acl" 600 0 <<-END
		user default on nopass resetkeys resetchannels -@all +ping
		user wakes on #$(tr -d '\n' <"$ROOT/keys/redis-password" | sha256sum | cut -d ' ' -f 1) resetchannels ~{strongroom}:wake:* -@all +auth +xadd +xread +xrevrange +role
	END
}

# The files of `keys` that a part may read.
keys_of() {
	local service
	case $1 in
	postgres) for service in "${SERVICES[@]}"; do echo "$(role_of "$service").pgpass $(role_of "$service")_owner.pgpass"; done ;;
	migrate) for service in "${SERVICES[@]}"; do echo "$(role_of "$service")_owner.pgpass"; done ;;
	redis) echo users.acl ;;
	registry) echo registry-http-secret ;;
	edge) echo edge.key ;;
	*) echo "$1.pem $(role_of "$1").pgpass redis-password" ;;
	esac
	case $1 in
	certreg) echo api-key-pepper audit-log-key.pem machine-ca.key ;;
	registry-gw) echo registry-http-secret ;;
	provisioner) echo tofu-state.key ;;
	esac
}

# Folders that grow: what a part has already stays as it is.
folders_of() {
	case $1 in
	certreg) echo token-signing ;;
	provisioner) echo vtpm ;;
	esac
}

hand_out() {
	local part=$1 dir=$ROOT/parts/$1 uid file
	uid=$(uid_of "$part")
	install -d -m 700 -o "$uid" -g "$uid" "$dir"
	for file in $(keys_of "$part"); do
		put_file "$dir/$file" 600 "$uid" <"$ROOT/keys/$file"
	done
	for file in key pem; do
		put_file "$dir/part.$file" 600 "$uid" <"$ROOT/keys/$part.part.$file"
	done
	for file in $(folders_of "$part"); do
		cp -rn "$ROOT/keys/$file" "$dir/"
		chown -R "$uid:$uid" "$dir/$file"
	done
}

# --- the edge: the copies of a service are the addresses of its name ---

addresses_of() {
	getent ahostsv4 "$1" | awk '$2 == "STREAM" { print $1 }' | sort -u
}

edge_upstreams() {
	local service address
	for service in "${SERVICES[@]}"; do
		printf '\tupstream %s {\n' "$service"
		for address in $(addresses_of "$service"); do
			printf '\t\tserver %s:%s max_fails=1 fail_timeout=2s;\n' "$address" "$PART_PORT"
		done
		[ -n "$(addresses_of "$service")" ] || printf '\t\tserver 127.0.0.1:9 down;\n'
		printf '\t\tkeepalive 64;\n\t}\n'
	done
	cat <<-END
		proxy_ssl_certificate $ROOT/keys/part.pem;
		proxy_ssl_certificate_key $ROOT/keys/part.key;
		proxy_ssl_trusted_certificate $ROOT/pki/parts-ca.pem;
		proxy_ssl_verify on;
		proxy_ssl_server_name on;
		proxy_ssl_session_reuse on;
		proxy_ssl_protocols TLSv1.3;
	END
}

edge_listen() {
	echo "		listen 0.0.0.0:$EDGE_PORT ssl reuseport backlog=1024;"
}
