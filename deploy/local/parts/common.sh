# shellcheck shell=bash disable=SC2034 # names for the other files
# SPDX-License-Identifier: Apache-2.0
# Names of everything in a stack: folders, users, groups, sockets. Sourced by deploy/local/stack, with SOURCE
# (the tree), BUILD and STACK set. A stack below a folder that other users cannot enter (/root, say)
# keeps its files in /var/lib/strongroom/<hash>, with links to them in STACK.

readonly SERVICES=(certreg provisioner registry-gw policy orchestrator)
readonly ALL_PARTS=(postgres redis registry "${SERVICES[@]}" edge)
readonly TOP_FOLDERS=(etc keys peers pki log pids bin guest postgres redis registry sandboxes objects certificates
	edge credentials)
readonly LIMIT_S=${STACK_LIMIT_S:-60} # for any part to become ready or to end
readonly UID_BASE=${STACK_UID_BASE:-61600}

die() {
	echo "stack: $*" >&2
	exit 1
}

say() {
	echo "stack: $*"
}

is_root() {
	[ "$EUID" -eq 0 ]
}

# Parts run under uids of their own when we are root; nobody needs an entry in /etc/passwd for that.
declare -rA UID_OFFSET=([certreg]=1 [registry-gw]=3 [policy]=4 [orchestrator]=5 [edge]=6 [migrate]=9)
declare -rA GID_OFFSET=([db]=20 [wake]=21 [storage]=22 [peers]=23)

uid_of() {
	is_root || { echo "$EUID"; return; }
	case $1 in
	postgres | redis) id -u "$1" ;;
	registry) id -u docker-registry ;;
	# It makes network namespaces and starts each QEMU under a uid of its own: that takes root.
	provisioner) echo 0 ;;
	*) echo $((UID_BASE + UID_OFFSET[$1])) ;;
	esac
}

gid_of() {
	is_root || { id -g; return; }
	case $1 in
	postgres | redis) id -g "$1" ;;
	registry) id -g docker-registry ;;
	provisioner) echo 0 ;;
	*) echo $((UID_BASE + UID_OFFSET[$1])) ;;
	esac
}

# The first of 768 uids, for VMs, their relays and their vTPMs; 0: everything runs as the caller.
sandbox_uid() {
	is_root || { echo 0; return; }
	echo $((UID_BASE + 64))
}

group() {
	is_root || { id -g; return; }
	echo $((UID_BASE + GID_OFFSET[$1]))
}

# Which sockets a part may open, as supplementary groups.
groups_of() {
	case $1 in
	registry-gw) echo "$(group db),$(group wake),$(group peers),$(group storage)" ;;
	certreg | policy | orchestrator) echo "$(group db),$(group wake),$(group peers)" ;;
	edge) group peers ;;
	migrate) group db ;;
	esac
}

# Whether users other than the owner can enter a folder (and so all above it).
is_reachable() {
	local dir=$1
	while [ "$dir" != / ]; do
		[ $(($(stat -Lc '0%a' "$dir") & 1)) -eq 1 ] || return 1
		dir=$(dirname "$dir")
	done
}

locate_stack() {
	STACK=$(realpath -m "$STACK")
	STACK_ID=$(printf '%s' "$STACK" | sha256sum | cut -c1-12)
	ROOT=$STACK
	RUN=/run/strongroom-$STACK_ID
	is_root || RUN=${XDG_RUNTIME_DIR:-/tmp}/strongroom-$STACK_ID
	if [ -L "$STACK/etc" ]; then
		ROOT=$(dirname "$(realpath "$STACK/etc")")
	fi
}

# make_dir DIR MODE UID GID
make_dir() {
	[ ! -L "$1" ] || die "'$1' is a link where a folder belongs"
	[ -d "$1" ] || mkdir "$1"
	! is_root || chown "$3:$4" "$1"
	chmod "$2" "$1"
}

make_root() {
	mkdir -p "$STACK"
	if is_root && [ "$ROOT" = "$STACK" ] && ! is_reachable "$STACK"; then
		ROOT=/var/lib/strongroom/$STACK_ID
		say "other users cannot enter '$STACK': the files go to '$ROOT'"
		install -d -m 755 /var/lib/strongroom "$ROOT"
		for name in "${TOP_FOLDERS[@]}"; do
			ln -sfn "$ROOT/$name" "$STACK/$name"
		done
	fi
}

# The stack's folders: who owns what is the access model, so it is all here.
make_folders() {
	make_root
	for name in etc peers pki bin log pids; do
		make_dir "$ROOT/$name" 755 0 0
	done
	make_dir "$ROOT/keys" 711 0 0
	make_dir "$ROOT/sandboxes" 711 0 0
	make_dir "$ROOT/objects" 700 "$(uid_of orchestrator)" "$(gid_of orchestrator)"
	make_dir "$ROOT/certificates" 755 "$(uid_of certreg)" "$(gid_of certreg)"
	make_dir "$ROOT/credentials" 700 "$(uid_of certreg)" "$(gid_of certreg)"
	for part in postgres redis edge; do
		make_dir "$ROOT/$part" 700 "$(uid_of "$part")" "$(gid_of "$part")"
	done
	# After a crash registry-gw asks for the size of an unfinished upload. Folders below inherit the group.
	make_dir "$ROOT/registry" 2710 "$(uid_of registry)" "$(group storage)"
	make_sockets
}

# Sockets live in a short folder (Postgres refuses paths over 107 bytes). They take the group of their folder
# (set-group-ID), and only that group gets in.
make_sockets() {
	make_dir "$RUN" "$(is_root && echo 711 || echo 700)" 0 0
	[ "$(stat -c %u "$RUN")" -eq "$EUID" ] || die "'$RUN' belongs to somebody else"
	make_dir "$RUN/postgres" 2750 "$(uid_of postgres)" "$(group db)"
	make_dir "$RUN/redis" 2750 "$(uid_of redis)" "$(group wake)"
	make_dir "$RUN/registry" 2750 "$(uid_of registry)" "$(group storage)"
	for service in "${SERVICES[@]}"; do
		make_dir "$RUN/$service" 2750 "$(uid_of "$service")" "$(group peers)"
	done
}

# Puts stdin into a file at once, with its mode and owner: put_file FILE MODE UID
put_file() {
	(umask 077 && cat >"$1.new")
	! is_root || chown "$3:0" "$1.new"
	chmod "$2" "$1.new"
	mv -f "$1.new" "$1"
}

# 32 random bytes as hex
random_secret() {
	od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}
