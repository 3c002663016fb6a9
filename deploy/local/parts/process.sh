# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Starting, finding and ending processes. A part's pid file holds "pid start-time boot-id since": the kernel's start time
# tells a process from a later one that got the same pid, so nothing foreign is ever signalled.

boot_id() {
	cat /proc/sys/kernel/random/boot_id
}

# Start time in clock ticks since boot (field 22 of stat; the name in field 2 may hold spaces).
start_time() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# shellcheck disable=SC2086 # the fields are numbers
	set -- ${stat##*) }
	[ "$1" != Z ] || return 1
	echo "${20}"
}

# Prints the pid that a file notes when that very process lives.
noted_pid() {
	local pid started boot
	read -r pid started boot _ 2>/dev/null <"$1" || return 1
	[ "$boot" = "$(boot_id)" ] && [ "$(start_time "$pid")" = "$started" ] || return 1
	echo "$pid"
}

# Prints the part's pid when it lives.
pid_of() {
	noted_pid "$ROOT/pids/$1.pid"
}

was_started() {
	[ -e "$ROOT/pids/$1.pid" ]
}

restarts_of() {
	cat "$ROOT/pids/$1.restarts" 2>/dev/null || echo 0
}

rotate_log() {
	local log=$ROOT/log/$1.log
	if [ -e "$log" ] && [ "$(stat -c %s "$log")" -gt $((10 << 20)) ]; then
		mv -f "$log" "$log.1"
	fi
	[ -e "$log" ] || (umask 027 && : >"$log")
}

# Becomes the program of a part: own session, own user, clean environment, nothing open but its log, no core files.
become() {
	local part=$1 fd drop=()
	shift
	for fd in /proc/self/fd/*; do
		fd=${fd##*/}
		[ "$fd" -le 2 ] || eval "exec $fd>&-"
	done
	cd "$ROOT" || exit 1
	ulimit -c 0
	ulimit -n "$(ulimit -Hn)" 2>/dev/null
	umask 077
	if is_root; then
		umask 007
		drop=(setpriv --reuid "$(uid_of "$part")" --regid "$(gid_of "$part")" --no-new-privs)
		if [ -n "$(groups_of "$part")" ]; then
			drop+=(--groups "$(groups_of "$part")")
		else
			drop+=(--clear-groups)
		fi
		[ "$part" != provisioner ] || drop=()
	fi
	exec setsid env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TZ=UTC STACK_ID="$STACK_ID" \
		${ASAN_OPTIONS:+ASAN_OPTIONS="$ASAN_OPTIONS"} ${UBSAN_OPTIONS:+UBSAN_OPTIONS="$UBSAN_OPTIONS"} \
		${TSAN_OPTIONS:+TSAN_OPTIONS="$TSAN_OPTIONS"} ${CRASH_AT:+CRASH_AT="$CRASH_AT"} \
		"${drop[@]}" "$@"
}

# launch PART PROGRAM ARGUMENT... : into the background, noting its pid
launch() {
	local part=$1 pid started
	shift
	was_started "$part" && echo $(($(restarts_of "$part") + 1)) >"$ROOT/pids/$part.restarts"
	rotate_log "$part"
	become "$part" "$@" </dev/null >>"$ROOT/log/$part.log" 2>&1 &
	pid=$!
	disown "$pid"
	started=$(start_time "$pid") || { show_failure "$part"; die "'$part' ended at once"; }
	echo "$pid $started $(boot_id) $(date +%s)" >"$ROOT/pids/$part.pid"
}

# Runs a program as a part's user and waits for it: run_as PART PROGRAM ARGUMENT...
run_as() {
	(become "$@" 3>&-) </dev/null
}

show_failure() {
	echo "--- the end of $ROOT/log/$1.log" >&2
	tail -n 20 "$ROOT/log/$1.log" >&2 || true
	echo "---" >&2
}

# wait_ready PART: until its probe succeeds, its process ends or the time is over
wait_ready() {
	local part=$1 deadline=$((SECONDS + LIMIT_S))
	until "probe_${part//-/_}" >/dev/null 2>&1; do
		if ! pid_of "$part" >/dev/null; then
			show_failure "$part"
			die "'$part' ended before it was ready"
		fi
		if [ $SECONDS -ge $deadline ]; then
			show_failure "$part"
			die "'$part' was not ready within $LIMIT_S s"
		fi
		sleep 0.05
	done
}

# wait_gone PID START SECONDS: whether that very process ended in time
wait_gone() {
	local deadline=$((SECONDS + $3))
	while [ "$(start_time "$1")" = "$2" ]; do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.05
	done
}

# end_process PID SIGNAL: that signal first, then KILL
end_process() {
	local pid=$1 started
	started=$(start_time "$pid") || return 0
	kill -s "$2" "$pid" 2>/dev/null || return 0
	wait_gone "$pid" "$started" "${3:-15}" && return 0 # a bare return in a trap gives what was before it
	kill -s KILL "$pid" 2>/dev/null || return 0
	wait_gone "$pid" "$started" 5
}

stop_part() {
	local part=$1 pid signal=TERM
	[ "$part" != postgres ] || signal=INT # "fast": do not wait for clients
	if pid=$(pid_of "$part"); then
		end_process "$pid" "$signal" || die "'$part' (pid $pid) does not end"
		say "stopped $part"
	fi
	rm -f "$ROOT/pids/$part.pid" "$ROOT/pids/$part.restarts"
}

# --- sandboxes' VMs: they outlive the provisioner on purpose, not the stack ---
stop_vms() {
	local file pid
	for file in "$ROOT"/sandboxes/*/qemu.pid "$ROOT"/sandboxes/libvirt/*/switch.pid; do
		[ -e "$file" ] || continue
		if pid=$(noted_pid "$file"); then
			end_process "$pid" TERM 5
			say "stopped the VM of $(basename "$(dirname "$file")")"
		fi
		rm -f "$file"
	done
	stop_containers
	stop_domains
	stop_tofu
}

# Those of the driver `libvirt`, whose daemon need not be there any more.
stop_domains() {
	local folder pid
	for folder in "$ROOT"/sandboxes/libvirt/sbx_*/; do
		[ -d "$folder" ] || continue
		folder=${folder%/}
		for pid in $(grep -lzxF "guest=${folder##*/},debug-threads=on" /proc/[0-9]*/cmdline 2>/dev/null | ours | cut -d / -f 3); do
			end_process "$pid" TERM 5
			say "stopped the domain of ${folder##*/}"
		done
	done
}

# What tofu has under way for sandboxes ends as it must: it saves its state. Machines in a cloud live on.
stop_tofu() {
	local control folder
	for control in "$ROOT"/sandboxes/tofu/*/control; do
		[ -p "$control" ] || continue
		folder=${control%/control}
		flock -n "$folder/run.lock" true && continue
		# shellcheck disable=SC2016
		timeout 5 sh -c 'printf i >"$1"' ask "$control" || :
		flock -w 60 "$folder/run.lock" true || say "tofu still works for $(basename "$folder")"
		say "stopped tofu for $(basename "$folder")"
	done
}

# Those of the driver `process`; runc takes their cgroups with them, bubblewrap knows of none.
stop_containers() {
	local file folder pid states=$ROOT/sandboxes/process/.runc
	for folder in "$states"/*/; do
		[ -d "$folder" ] || continue
		runc --root "$states" delete --force "$(basename "$folder")" >/dev/null 2>&1 || :
		say "stopped the process of $(basename "$folder")"
	done
	for file in "$ROOT"/sandboxes/process/*/agent.pid; do
		pid=$(noted_pid "$file") || continue
		folder=${file%/*}
		end_process "$pid" TERM 5
		rmdir /sys/fs/cgroup/{,*/}strongroom-"${folder##*/}" 2>/dev/null || :
		say "stopped the process of ${folder##*/}"
	done
}

# What stands as a word of its own in the command line of a sandbox's process.
sandbox_marks() {
	local folder
	for folder in "$ROOT"/sandboxes/sbx_*/ "$ROOT"/sandboxes/*/sbx_*/; do
		[ -d "$folder" ] || continue
		folder=${folder%/}
		printf '%s\nguest=%s,debug-threads=on\ndir=%s/tpm\n' "${folder##*/}" "${folder##*/}" "$folder"
	done
}

# Pids of what still belongs to this stack: marked in its environment, or one of our programs working in its
# folders (Postgres and nginx overwrite their environment with their title).
stragglers() {
	local pid
	{
		grep -lzxF "STACK_ID=$STACK_ID" /proc/[0-9]*/environ || :
		find /proc/[0-9]*/cwd -maxdepth 0 \( -lname "$ROOT" -o -lname "$ROOT/*" \) | ours
		# VMs, vTPMs and relays have neither: they are known by their sandbox
		[ -z "$(sandbox_marks)" ] || grep -lzxF "$(sandbox_marks)" /proc/[0-9]*/cmdline | ours
	} 2>/dev/null | cut -d / -f 3 | sort -un | while read -r pid; do
		! start_time "$pid" >/dev/null || echo "$pid"
	done
}

# Those paths below /proc/<pid> whose process runs a program of ours.
ours() {
	local path
	while read -r path; do
		case $(readlink "${path%/*}/exe" 2>/dev/null) in
		*/postgres* | */redis-* | */docker-registry* | */nginx* | "$ROOT"/bin/* | */qemu-system-* | */swtpm) echo "$path" ;;
		esac
	done
}

# Nothing may be left: waits a moment, then kills what is ours, and proves it.
end_stragglers() {
	local deadline=$((SECONDS + 5)) pid
	while [ -n "$(stragglers)" ] && [ $SECONDS -lt $deadline ]; do
		sleep 0.1
	done
	for pid in $(stragglers); do
		say "kills what was left: pid $pid ($(cat "/proc/$pid/comm" 2>/dev/null))"
		end_process "$pid" KILL
	done
	[ -z "$(stragglers)" ] || die "still running: $(stragglers | tr '\n' ' ')"
}
