# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A backup is a folder of three files, all 0600: the database, the files that belong to its rows, and the digests of both.
# Writers rest while it is made, so every row finds its file. What is not in it: Redis (wake-ups only), VMs (their keys
# exist in their memory alone), programs and the guest's image (a build makes them).
# It holds every key of the instance in clear: keep it like the keys, and its digest somewhere else.

readonly BACKUP_FILES=(database.dump files.tar)
readonly KEPT_FOLDERS=(etc keys peers pki credentials certificates objects registry)
readonly REPLACED_FOLDERS=("${KEPT_FOLDERS[@]}" postgres redis sandboxes)

pg_tool() {
	local tool=$1
	shift
	PGHOST=$RUN/postgres PGUSER=postgres "$PG_BIN/$tool" "$@"
}

running_parts() {
	local part
	for part in "${ALL_PARTS[@]}"; do
		! pid_of "$part" >/dev/null || echo "$part"
	done
}

# The edge first, then the services: nobody writes any more when this returns.
rest_writers() {
	local index
	for ((index = ${#ALL_PARTS[@]} - 1; index >= 0; index--)); do
		case ${ALL_PARTS[index]} in postgres | redis | registry) ;; *) stop_part "${ALL_PARTS[index]}" ;; esac
	done
}

# Back to what ran before: also when the backup failed.
end_backup() {
	local status=$?
	trap - EXIT
	rm -rf "$PARTIAL"
	if [ ${#BEFORE[@]} -gt 0 ]; then
		start "${BEFORE[@]}" || status=1
	else
		stop_part postgres
	fi
	exit "$status"
}

digest_of() {
	echo "sha256:$(sha256sum "$1" | cut -d ' ' -f 1)"
}

write_backup() {
	pg_tool pg_dump -Fc -d strongroom -f "$1/database.dump" || die "the database could not be dumped"
	tar -C "$ROOT" --sort=name --numeric-owner --hard-dereference --exclude=etc/wanted --exclude='*.new' -cf "$1/files.tar" \
		"${KEPT_FOLDERS[@]}" || die "the files could not be packed"
	(cd "$1" && sha256sum -- "${BACKUP_FILES[@]}") >"$1/SHA256SUMS"
	chmod 600 "$1"/*
	sync -- "$1"/* "$1"
}

# stack backup [FOLDER]
stack_backup() {
	local folder
	folder=$(realpath -m "${1:-$STACK/backups/$(date -u +%Y%m%dT%H%M%SZ)}")
	[ -e "$ROOT/postgres/data/PG_VERSION" ] || die "there is nothing to back up in '$STACK'"
	[ ! -e "$folder" ] || die "'$folder' exists"
	umask 077
	mkdir -p "$(dirname "$folder")"
	PARTIAL=$folder.partial.$$
	mkdir "$PARTIAL"
	lock
	choose_port
	mapfile -t BEFORE < <(running_parts)
	trap end_backup EXIT
	rest_writers
	pid_of postgres >/dev/null || start postgres
	write_backup "$PARTIAL"
	mv -T "$PARTIAL" "$folder"
	say "backup: $folder"
	say "its digest, to be kept elsewhere and given to restore: $(digest_of "$folder/SHA256SUMS")"
}

# The folder is whole and what its digests say, and its archive holds nothing but files and folders of ours.
verify_backup() {
	local folder=$1 expected=${2:-} kept file
	for file in SHA256SUMS "${BACKUP_FILES[@]}"; do
		if [ ! -f "$folder/$file" ] || [ -L "$folder/$file" ]; then
			die "'$folder' is no backup: it lacks '$file'"
		fi
	done
	[ -z "$expected" ] || [ "$expected" = "$(digest_of "$folder/SHA256SUMS")" ] ||
		die "'$folder' is not the backup with the digest $expected"
	[ "$(cd "$folder" && sha256sum -- "${BACKUP_FILES[@]}")" = "$(cat "$folder/SHA256SUMS")" ] ||
		die "'$folder' was altered or damaged: its digests do not match"
	kept=$(IFS='|' && echo "${KEPT_FOLDERS[*]}")
	tar -tvf "$folder/files.tar" --numeric-owner --quoting-style=escape | awk -v kept="$kept" '
		/^[^-d]/ || $6 !~ "^(" kept ")(/|$)" || $6 ~ "(^|/)[.][.](/|$)" { exit 1 }' ||
		die "'$folder' was altered: its archive holds what no backup has"
}

# What the stack had is put aside until the restore is complete.
set_aside() {
	local name
	mkdir -m 700 "$ROOT/.before-restore"
	for name in "${REPLACED_FOLDERS[@]}"; do
		[ ! -e "$ROOT/$name" ] || mv -T "$ROOT/$name" "$ROOT/.before-restore/$name"
	done
}

put_back() {
	local name
	[ -d "$ROOT/.before-restore" ] || return 0
	for name in "${REPLACED_FOLDERS[@]}"; do
		[ ! -e "$ROOT/.before-restore/$name" ] || {
			rm -rf "${ROOT:?}/$name"
			mv -T "$ROOT/.before-restore/$name" "$ROOT/$name"
		}
	done
	rmdir "$ROOT/.before-restore"
}

end_restore() {
	local status=$?
	trap - EXIT
	stop_part postgres
	end_stragglers
	rm -rf "$RUN"
	[ "$status" -eq 0 ] || { put_back; say "the stack is as it was before"; }
	exit "$status"
}

# Owners come from this machine's access model, never from the archive.
own_files() {
	local service role
	is_root || return 0
	chown -R "$(uid_of orchestrator):$(gid_of orchestrator)" "$ROOT/objects"
	chown -R "$(uid_of certreg):$(gid_of certreg)" "$ROOT/certificates"
	chown -R "$(uid_of registry):$(gid_of registry)" "$ROOT/registry"
	chown -R "${SUDO_UID:-0}:${SUDO_GID:-0}" "$ROOT/credentials"
	chown "$(uid_of edge):0" "$ROOT/keys/edge.key"
	chown "$(uid_of registry-gw):0" "$ROOT/keys/registry-http-secret"
	chown "$(uid_of certreg):0" "$ROOT/keys/api-key-pepper" "$ROOT/keys/machine-ca.key" "$ROOT/keys/audit-log-key.pem"
	chown -R "$(uid_of certreg):$(gid_of certreg)" "$ROOT/keys/token-signing"
	for service in "${SERVICES[@]}"; do
		role=$(role_of "$service")
		chown "$(uid_of "$service"):0" "$ROOT/keys/$service.pem" "$ROOT/keys/$role.pgpass"
		chown "$(uid_of migrate):0" "$ROOT/keys/${role}_owner.pgpass"
	done
}

restore_files() {
	tar -C "$ROOT" --no-same-owner -p -xf "$1/files.tar" || die "the files could not be unpacked"
	make_folders
	own_files
}

restore_database() {
	start postgres
	create_roles
	pg_tool pg_restore --exit-on-error --single-transaction -d strongroom <"$1/database.dump" ||
		die "the database could not be restored"
}

# stack restore FOLDER [DIGEST]
stack_restore() {
	local folder
	folder=$(realpath -e "${1:?which backup}") || exit
	verify_backup "$folder" "${2:-}"
	make_root
	lock
	[ -z "$(running_parts)$(stragglers)" ] || die "'$STACK' runs: 'stack down' first"
	put_back
	trap end_restore EXIT
	set_aside
	restore_files "$folder"
	restore_database "$folder"
	rm -rf "$ROOT/.before-restore"
	say "restored from '$folder'; 'stack up' starts it"
}
