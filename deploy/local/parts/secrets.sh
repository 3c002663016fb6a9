# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Keys that this instance makes for itself at the first start: a CA and the edge's certificate, a key pair per service for its
# assertions, the CA of machines, the CA of vTPMs, the token issuer's key, passwords of database roles. Nothing secret is ever an argument of a program.

private_key() {
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null
}

# make_key FILE UID: once
make_key() {
	[ -e "$1" ] || private_key | put_file "$1" 600 "$2"
}

make_ca() {
	local dir=$ROOT/keys
	[ ! -e "$ROOT/pki/ca.pem" ] || return 0
	make_key "$dir/ca.key" 0
	openssl req -x509 -new -key "$dir/ca.key" -sha256 -days 3650 -subj "/CN=Strongroom local CA $STACK_ID" \
		-addext basicConstraints=critical,CA:TRUE,pathlen:0 \
		-addext keyUsage=critical,keyCertSign,cRLSign | put_file "$ROOT/pki/ca.pem" 644 0
}

# The CA of machines (EST), certreg's own: it vouches for nobody but the machines of a tenant, and never for a server.
make_machine_ca() {
	make_key "$ROOT/keys/machine-ca.key" "$(uid_of certreg)"
	[ -e "$ROOT/pki/machine-ca.pem" ] ||
		openssl req -x509 -new -key "$ROOT/keys/machine-ca.key" -sha256 -days 3650 -subj "/CN=Strongroom machine CA $STACK_ID" \
			-addext basicConstraints=critical,CA:TRUE,pathlen:0 \
			-addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature | put_file "$ROOT/pki/machine-ca.pem" 644 0
}

# The CA of vTPMs (swtpm_setup): its root, which clients trust, signs once; the issuer below it signs a certificate for each
# sandbox's vTPM, in the provisioner's hands.
make_vtpm_ca() {
	local dir=$ROOT/keys/vtpm owner
	owner=$(uid_of provisioner)
	make_dir "$dir" 700 "$owner" "$(gid_of provisioner)"
	make_key "$ROOT/keys/vtpm-root.key" 0
	[ -e "$ROOT/pki/vtpm-ca.pem" ] ||
		openssl req -x509 -new -key "$ROOT/keys/vtpm-root.key" -sha256 -days 3650 -subj "/CN=Strongroom vTPM CA $STACK_ID" \
			-addext basicConstraints=critical,CA:TRUE,pathlen:1 \
			-addext keyUsage=critical,keyCertSign,cRLSign | put_file "$ROOT/pki/vtpm-ca.pem" 644 0
	make_key "$dir/signkey.pem" "$owner"
	[ -e "$dir/issuercert.pem" ] || make_vtpm_issuer "$dir" | put_file "$dir/issuercert.pem" 600 "$owner"
	[ -e "$dir/certserial" ] || echo 1 | put_file "$dir/certserial" 600 "$owner"
}

make_vtpm_issuer() {
	openssl req -new -key "$1/signkey.pem" -subj "/CN=Strongroom vTPM issuer $STACK_ID" |
		openssl x509 -req -sha256 -days 3649 -CA "$ROOT/pki/vtpm-ca.pem" -CAkey "$ROOT/keys/vtpm-root.key" \
			-set_serial "0x$(random_secret | cut -c1-30)" -extfile <(
			cat <<-END
				basicConstraints = critical, CA:TRUE, pathlen:0
				keyUsage = critical, keyCertSign, cRLSign
				subjectKeyIdentifier = hash
				authorityKeyIdentifier = keyid
			END
		) 2>/dev/null
}

# swtpm_setup's configuration, with this stack's paths: made at each start.
configure_vtpm() {
	local dir=$ROOT/keys/vtpm file=$ROOT/etc/vtpm
	put_file "$file-localca.conf" 644 0 <<-END
		statedir = $dir
		signingkey = $dir/signkey.pem
		issuercert = $dir/issuercert.pem
		certserial = $dir/certserial
	END
	put_file "$file-localca.options" 644 0 <<-END
		--platform-manufacturer Strongroom
		--platform-version 1.0
		--platform-model QEMU
	END
	put_file "$file-setup.conf" 644 0 <<-END
		create_certs_tool = /usr/bin/swtpm_localca
		create_certs_tool_config = $file-localca.conf
		create_certs_tool_options = $file-localca.options
		active_pcr_banks = sha256
	END
}

edge_alt_names() {
	echo "IP:127.0.0.1, IP:::1, IP:10.0.2.2, DNS:localhost"
}

# The edge's certificate is renewed at a start within thirty days of its end, or under other names. 10.0.2.2 is the edge as a guest sees it. The
# CA's certificate travels along: guests know its key only.
make_edge_certificate() {
	local dir=$ROOT/keys cert=$ROOT/pki/edge.pem names
	names=$(edge_alt_names)
	if openssl x509 -in "$cert" -noout -checkend 2592000 >/dev/null 2>&1 && [ "$(cat "$ROOT/pki/edge.names" 2>/dev/null)" = "$names" ]; then
		return 0
	fi
	echo "$names" | put_file "$ROOT/pki/edge.names" 644 0
	make_key "$dir/edge.key" "$(uid_of edge)"
	{ openssl req -new -key "$dir/edge.key" -subj "/CN=localhost" |
		openssl x509 -req -sha256 -days 825 -CA "$ROOT/pki/ca.pem" -CAkey "$dir/ca.key" \
			-set_serial "0x$(random_secret | cut -c1-30)" -extfile <(
			cat <<-END
				basicConstraints = critical, CA:FALSE
				keyUsage = critical, digitalSignature
				extendedKeyUsage = serverAuth
				subjectAltName = $names
				subjectKeyIdentifier = hash
				authorityKeyIdentifier = keyid
			END
		) 2>/dev/null && cat "$ROOT/pki/ca.pem"; } | put_file "$cert" 644 0
}

make_service_keys() {
	local service
	for service in "${SERVICES[@]}"; do
		make_key "$ROOT/keys/$service.pem" "$(uid_of "$service")"
		[ -e "$ROOT/peers/$service.pem" ] ||
			openssl pkey -in "$ROOT/keys/$service.pem" -pubout | put_file "$ROOT/peers/$service.pem" 644 0
	done
	make_signing_key
	[ -e "$ROOT/keys/audit-log-key.pem" ] ||
		openssl genpkey -algorithm ED25519 | put_file "$ROOT/keys/audit-log-key.pem" 600 "$(uid_of certreg)"
}

# The first key that signs tokens is active at once; its file is named by that. `stack rotate-signing-key` makes others.
make_signing_key() {
	local dir=$ROOT/keys/token-signing
	make_dir "$dir" 700 "$(uid_of certreg)" "$(gid_of certreg)"
	compgen -G "$dir/*.pem" >/dev/null || make_key "$dir/$(date +%s).pem" "$(uid_of certreg)"
}

# make_secret FILE UID: 64 hex digits, once
make_secret() {
	[ -e "$ROOT/keys/$1" ] || random_secret | put_file "$ROOT/keys/$1" 600 "$2"
}

# A password file of libpq for a role: make_password ROLE UID
make_password() {
	[ -e "$ROOT/keys/$1.pgpass" ] ||
		printf '*:*:strongroom:%s:%s\n' "$1" "$(random_secret)" | put_file "$ROOT/keys/$1.pgpass" 600 "$2"
}

make_secrets() {
	local service role
	make_ca
	make_edge_certificate
	make_service_keys
	make_machine_ca
	make_vtpm_ca
	make_secret registry-http-secret "$(uid_of registry-gw)"
	make_secret api-key-pepper "$(uid_of certreg)"
	make_secret tofu-state.key "$(uid_of provisioner)"
	for service in "${SERVICES[@]}"; do
		role=$(role_of "$service")
		make_password "$role" "$(uid_of "$service")"
		make_password "${role}_owner" "$(uid_of migrate)"
	done
}
