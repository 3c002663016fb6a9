# SPDX-License-Identifier: Apache-2.0
"""A libvirtd of a test's own: in a mount namespace where its folders are empty, so that it meets neither the host's nor
another test's. VMs outlive it, as they do everywhere."""
import subprocess

from local_stack import wait_for

QEMU_CONF = """security_driver = "none"
namespaces = []
stdio_handler = "file"
user = "root"
group = "root"
remember_owner = 0
"""
DAEMON_CONF = """auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_dir = "{folder}/run"
log_outputs = "3:file:{folder}/libvirtd.log"
"""
SCRIPT = """set -eu
mount -t tmpfs none /run
for name in lib cache log; do mkdir -p "$0/$name" /var/$name/libvirt; mount --bind "$0/$name" /var/$name/libvirt; done
mkdir -p "$0/state" /run/libvirt; mount --bind "$0/state" /run/libvirt
mount --bind "$0/etc" /etc/libvirt
exec libvirtd -f "$0/libvirtd.conf" -p "$0/libvirtd.pid"
"""


class Libvirt:
    def __init__(self, folder):
        self.folder, self.process = folder, None
        for name in ("run", "etc"):
            (folder / name).mkdir()
        (folder / "etc/qemu.conf").write_text(QEMU_CONF)
        (folder / "libvirtd.conf").write_text(DAEMON_CONF.format(folder=folder))
        self.socket = folder / "run/libvirt-sock"
        self.uri = f"qemu+unix:///system?socket={self.socket}"
        self.start()

    def start(self):
        self.process = subprocess.Popen(["unshare", "--mount", "sh", "-c", SCRIPT, self.folder], stdin=subprocess.DEVNULL,
                                        stderr=open(self.folder / "start.log", "a"))
        wait_for(lambda: self.virsh("list", check=False).returncode == 0, "libvirtd")

    def virsh(self, *arguments, check=True, **more):
        return subprocess.run(["virsh", "-q", "-c", self.uri, *map(str, arguments)], check=check, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)

    def names(self):
        return set(self.virsh("list", "--all", "--name").stdout.split())

    def qemu(self, name):
        """The pid of a domain's QEMU."""
        return int((self.folder / f"state/qemu/{name}.pid").read_text())

    def kill(self):
        """As kill -9 does it: `start()` adopts what runs."""
        self.process.kill()
        self.process.wait()

    def end(self):
        for name in self.names():
            self.virsh("destroy", name, check=False)
            self.virsh("undefine", "--nvram", name, check=False)
        self.process.terminate()
        self.process.wait(60)
