# SPDX-License-Identifier: Apache-2.0
"""The sandbox VM for real: the initramfs boots, the way out is the one listener, and the cage holds against hostile apps."""
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess

import pytest

from making import make

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD") or ROOT / "build")
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD
GUEST = BUILD / "guest"
LIMIT_S = 900
WALL_MS = 240000  # where another limit is to be hit first, on a busy machine too
MIB = 1 << 20
SANDBOX = "sbx_019000000000700080000000000000aa"


@pytest.fixture(scope="session")
def guest():
    if not all(p.exists() for p in (GUEST / "guest.json", BUILD / "tests/hostile", BUILD / "bin/strongroom-launch")):
        make(BUILD, "guest-tests")
    return json.loads((GUEST / "guest.json").read_text())


def initrd(folder, entries):
    path = folder / "initrd"
    archive = subprocess.run([ROOT / "deploy/guest/mkcpio"], input=("\n".join(entries) + "\n").encode(),
                             check=True, stdout=subprocess.PIPE).stdout
    image = (GUEST / "initramfs.img").read_bytes()
    path.write_bytes(image + b"\0" * (-len(image) % 4) + archive)
    return path


def qemu(folder, image, cmdline="", *more):
    return ["/usr/bin/qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "1", "-m", "256",
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none",
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-chardev", f"file,id=console,path={folder}/console", "-serial", "chardev:console",
            "-kernel", str(GUEST / "vmlinuz"), "-initrd", str(image),
            "-append", f"console=ttyS0 quiet panic=-1 {cmdline}", *more]


# --- the cage ---

def case(name, wall_ms=WALL_MS, **limits):
    return {"name": name, "argv": ["/bin/hostile", name], "limits": {"wall_ms": wall_ms, **limits}}


CASES = [case("good"), case("nothing"), case("exit3"), case("crash"), case("fork"), case("disk"), case("inodes"),
         case("memory"), case("endless", wall_ms=1500), case("burn", cpu_seconds=1), case("chatter", stdout_bytes=500),
         case("plant"), case("calls"), case("files"), case("status"), case("network"),
         {"name": "absent", "argv": ["/bin/absent"]}, case("good")]


@pytest.fixture(scope="session")
def results(guest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("selftest")
    (folder / "cases.json").write_text(json.dumps(CASES))
    base = "etc/strongroom/selftest"
    image = initrd(folder, ["dir etc 755", "dir etc/strongroom 755", f"dir {base} 755",
                            f"file {base}/cases.json 644 {folder}/cases.json", f"dir {base}/rootfs 755",
                            f"dir {base}/rootfs/bin 755", f"file {base}/rootfs/bin/hostile 755 {BUILD}/tests/hostile"])
    subprocess.run(qemu(folder, image, "strongroom.selftest=1"), check=True, timeout=LIMIT_S)
    console = (folder / "console").read_text(errors="replace")
    found = [json.loads(line.partition("selftest ")[2]) for line in console.splitlines() if line.startswith("selftest ")]
    assert [row["name"] for row in found] == [row["name"] for row in CASES], console
    return found


def result_of(results, name):
    return next(row["result"] for row in results if row["name"] == name)


def said(results, name):
    lines = result_of(results, name)["stdout"].splitlines()
    return dict(line.replace(":\t", "=", 1).split("=", 1) for line in lines if "=" in line or ":\t" in line)


def test_a_good_app_ends_well_before_and_after_the_hostile_ones(results):
    for result in (results[0]["result"], results[-1]["result"]):
        assert (result["returncode"], result["signal"], result["limits_hit"]) == (0, 0, [])
        assert (result["stdout"], result["stderr"]) == ("done\n", "a word\n")
        assert (result["packed"]["files"], result["packed"]["bytes"], result["packed"]["skipped"]) == (1, 3, 0)


@pytest.mark.parametrize("name, returncode, signal, limit", [
    ("nothing", 0, 0, None), ("exit3", 3, 0, None), ("crash", 134, 6, None), ("fork", 0, 0, "pids"),
    ("disk", 0, 0, "output_bytes"), ("inodes", 0, 0, "output_files"), ("memory", 137, 9, "memory"),
    ("endless", 137, 9, "wall"), ("burn", 137, 9, "cpu"), ("chatter", 0, 0, "stdout")])
def test_ends_and_limits(results, name, returncode, signal, limit):
    result = result_of(results, name)
    assert (result["returncode"], result["signal"]) == (returncode, signal)
    assert result["limits_hit"] == ([limit] if limit else [])


def test_limits_are_the_ones_asked_for(results):
    assert result_of(results, "disk")["packed"]["bytes"] <= MIB
    assert said(results, "disk")["write"] == "ENOSPC"
    assert said(results, "inodes")["made"] == "32"
    assert said(results, "fork")["refused"] == "some"
    assert len(result_of(results, "chatter")["stdout"]) == 500
    assert 1500 <= result_of(results, "endless")["wall_ms"] < WALL_MS


def test_what_is_planted_in_the_output_stays_there(results):
    planted = said(results, "plant")
    assert planted["device"] == "EPERM" and planted["hardlink"] == "EXDEV"
    assert planted["symlink"] == planted["symlink_up"] == planted["fifo"] == planted["symlink_in"] == "ok"
    packed = result_of(results, "plant")["packed"]
    assert (packed["files"], packed["bytes"], packed["skipped"]) == (2, 3, 4)


def test_dangerous_calls_are_refused(results):
    calls = said(results, "calls")
    allowed = {"socket_unix", "socket_inet", "setuid"}
    assert {name for name, outcome in calls.items() if outcome == "ok"} == allowed
    assert calls["ptrace"] == calls["mount"] == calls["bpf"] == calls["unshare"] == calls["kill_helper"] == "EPERM"
    assert calls["clone"] == calls["clone3"] == "ENOSYS"
    assert calls["socket_inet6"] == calls["socket_netlink"] == calls["socket_packet"] == "EAFNOSUPPORT"


def test_files_outside_the_cage_are_out_of_reach(results):
    files = said(results, "files")
    opened = {name for name, outcome in files.items() if outcome == "ok"}
    assert opened == {"/dev/null", "/dev/urandom", "/tmp/new", "/dev/shm/new", "/output/new"}
    assert files["/proc/1/mem"] == "EACCES" and files["/bin/new"] == files["/input/new"] == "EROFS"
    assert files["kcore"] == "0"


def test_the_app_has_no_privilege(results):
    status = said(results, "status")
    assert all(set(status[name]) == {"0"} for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert "pid=2 open=3" in result_of(results, "status")["stdout"]


def test_the_app_has_no_network(results):
    assert result_of(results, "network")["stdout"].split() == ["interface=", "lo"]


def test_a_program_that_is_not_there(results):
    assert result_of(results, "absent")["failed"] == "jail.no_app"


# --- the way out ---

VIEW = [word for path in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/share/qemu", "/usr/share/seabios",
                          "/usr/bin/qemu-system-x86_64", GUEST) for word in ("--ro", str(path))]


def launch(folder, argv, port):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    subprocess.run([BUILD / "bin/strongroom-launch", "--control", str(theirs.fileno()), "--port", str(port), *VIEW,
                    "--rw", str(folder), "--dev", "/dev/null", "--dev", "/dev/urandom", "--", *argv], check=True,
                   pass_fds=[theirs.fileno()], timeout=LIMIT_S, cwd=folder, stdin=subprocess.DEVNULL)
    theirs.close()
    ours.settimeout(LIMIT_S)
    text, files, _, _ = socket.recv_fds(ours, 256, 1)
    assert text.startswith(b"ready "), text
    rest = ours.recv(256)
    assert rest == b"", rest
    return int(text.split()[1]), socket.socket(fileno=files[0])


def wait_for_end(pid):
    pidfd = os.pidfd_open(pid)
    ready, _, _ = select.select([pidfd], [], [], LIMIT_S)
    os.close(pidfd)
    return bool(ready)


def test_the_guest_reaches_the_listener_from_an_empty_namespace(guest, tmp_path):
    initdata = {"v": "strongroom-initdata-1", "template": {"id": "small", "version": 1}, "sandbox": SANDBOX,
                "edge": {"host": "10.0.2.2", "port": 443, "ca_spki": "sha256:" + "0" * 64}, "classes": ["none"]}
    (tmp_path / "initdata.json").write_text(json.dumps(initdata, sort_keys=True, separators=(",", ":")))
    (tmp_path / "secret").write_text("canary-of-the-enrolment")
    image = initrd(tmp_path, ["dir etc 755", "dir etc/strongroom 755",
                              f"file etc/strongroom/initdata.json 644 {tmp_path}/initdata.json"])
    argv = qemu(tmp_path, image, "", "-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile=",
                "-fw_cfg", f"name=opt/strongroom/enrolment,file={tmp_path}/secret")
    pid, listener = launch(tmp_path, argv, 443)
    try:
        assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
        interfaces = [line.split(":")[0].strip() for line in open(f"/proc/{pid}/net/dev") if ":" in line]
        assert interfaces == ["lo"]
        listener.settimeout(LIMIT_S)
        connection, _ = listener.accept()
        connection.close()
    finally:
        listener.close()
        os.kill(pid, 9)
        wait_for_end(pid)
    console = (tmp_path / "console").read_text(errors="replace")
    assert "boot failed" not in console and "canary-of-the-enrolment" not in console


# --- the build ---

def test_the_initramfs_is_reproducible(guest, tmp_path):
    cache = pathlib.Path(os.environ.get("CACHE") or pathlib.Path(os.environ.get("STACK") or ROOT / "var") / "cache")
    elsewhere = tmp_path / "another" / "place"
    elsewhere.mkdir(parents=True)
    shutil.copy(GUEST / "strongroom-agent", elsewhere / "agent")
    os.utime(elsewhere / "agent", (1, 1))
    subprocess.run([ROOT / "deploy/guest/mkinitramfs", elsewhere / "agent", cache / "kernel/modules", elsewhere / "img"],
                   check=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"})
    assert (elsewhere / "img").read_bytes() == (GUEST / "initramfs.img").read_bytes()


def test_reference_values_are_those_of_the_files(guest):
    for name, file in (("kernel", "vmlinuz"), ("initramfs", "initramfs.img"), ("agent", "strongroom-agent")):
        digest = subprocess.run(["sha256sum", GUEST / file], check=True, stdout=subprocess.PIPE, text=True).stdout
        assert guest[name] == "sha256:" + digest.split()[0]
    assert guest["cmdline"] == (ROOT / "deploy/guest/cmdline").read_text().strip()


def test_the_guest_has_no_icu_and_no_xml():
    libraries = subprocess.run(["ldd", GUEST / "strongroom-agent"], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert not [name for name in ("libicu", "libxml2", "liblzma", "libbz2", "libarchive") if name in libraries]
