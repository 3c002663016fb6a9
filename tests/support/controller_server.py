# SPDX-License-Identifier: Apache-2.0
"""An external Controller (proto/openapi/controller.json) that makes real VMs: a process of its own, HTTPS with a token, each machine
a QEMU in an empty network namespace with a relay to the edge, as whoever runs one would build it. Who asks it needs a certificate of
its CA and the token. POST /_test/mischief makes it answer badly, POST /_test/kill ends a machine behind its back, POST /_test/power
says whether machines boot, or are a process that does nothing (where only what is said about them matters); GET /_test tells what
it did.

    controller_server.py --socket FD --folder DIR --guest DIR --relay PROGRAM    (its certificate and token are in the folder)"""
import argparse
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.parse

from tpm import archive

GUEST_PORT = 8443
TOKEN_FILE, CA, CERTIFICATE, KEY = "token", "ca.pem", "server.pem", "server.key"
HANG_S = 30


def run_machine(channel, argv):
    """Inside `unshare --net`: a listener where the guest's user network leads, then the VM."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with socket.create_server(("127.0.0.1", GUEST_PORT)) as listener, socket.socket(fileno=channel) as parent:
        socket.send_fds(parent, [b"."], [listener.fileno()])
    os.execv(argv[0], argv)


class Machine:
    def __init__(self, server, wish):
        self.id, self.boot, self.owner = wish["id"], wish["boot"], wish["owner"]
        self.folder = server.folder / self.id
        self.folder.mkdir(exist_ok=True)
        self.console = self.folder / "console"
        self.console.write_bytes(b"")
        if server.boots:
            self._boot(server, wish)
        else:
            self.process = subprocess.Popen(["sleep", "infinity"], stdin=subprocess.DEVNULL)

    def _boot(self, server, wish):
        secret, initrd = self.folder / "secret", self.folder / "initrd"
        secret.write_text(wish["enrolment_secret"])
        base = (server.guest / "initramfs.img").read_bytes()
        initrd.write_bytes(base + bytes(-len(base) % 4096) + archive(json.loads(wish["initdata"])))
        argv = ["/usr/bin/qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", str(wish["parameters"]["memory_mib"]),
                "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none",
                "-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console",
                "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
                "-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile=",
                "-fw_cfg", f"name=opt/strongroom/enrolment,file={secret}", "-kernel", str(server.guest / "vmlinuz"),
                "-initrd", str(initrd), "-append", "console=ttyS0 quiet panic=-1"]
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.process = subprocess.Popen(["unshare", "--net", sys.executable, __file__, "--machine", str(theirs.fileno()), *argv],
                                            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            theirs.close()
            _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
        self._relay(server.relay, wish["edge"], listener)

    def _relay(self, relay, edge, listener):
        vm = os.pidfd_open(self.process.pid)
        subprocess.run([relay, "--to", edge], check=True, close_fds=False, stdin=subprocess.DEVNULL,
                       preexec_fn=lambda: (os.dup2(os.dup(listener), 3), os.dup2(os.dup(vm), 4)))
        os.close(listener)
        os.close(vm)

    @property
    def state(self):
        return "running" if self.process.poll() is None else "ended"

    def end(self):
        self.process.kill()
        self.process.wait()

    def record(self):
        return {"id": self.id, "boot": self.boot, "state": self.state, "console_bytes": self.console.stat().st_size}


class Server:
    """What is there, and what was asked."""

    def __init__(self, folder, guest, relay):
        self.folder, self.guest, self.relay, self.lock = folder, guest, relay, threading.RLock()
        self.token = (folder / TOKEN_FILE).read_text().strip()
        self.machines, self.answers, self.starts, self.asked, self.mischief = {}, {}, [], {}, {}
        self.to_deal, self.dealt, self.boots = [], {}, True

    def create(self, wish, key):
        with self.lock:
            if key in self.answers:
                return 200, self.answers[key]
            if old := self.machines.get(wish["id"]):
                old.end()
            machine = self.machines[wish["id"]] = Machine(self, wish)
            self.starts.append([wish["id"], wish["boot"]])
            self.answers[key] = machine.record()
            return 201, self.answers[key]

    def delete(self, id):
        with self.lock:
            machine = self.machines.pop(id)
            machine.end()
            subprocess.run(["rm", "-rf", machine.folder], check=True)

    def deal(self, kinds, times):
        """One for each new machine, in their order: its creation is answered that badly."""
        with self.lock:
            self.to_deal, self.dealt = [{"kind": kind, "times": times} for kind in kinds], {}

    def next_mischief(self, operation, id):
        with self.lock:
            self.asked[operation] = self.asked.get(operation, 0) + 1
            if operation == "machine_create" and id not in self.dealt and self.to_deal:
                self.dealt[id] = self.to_deal.pop(0)
            found = self.dealt.get(id) if operation == "machine_create" else self.mischief.get(operation)
            if not found or found["times"] <= 0:
                return None
            found["times"] -= 1
            return found["kind"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=None, headers=(), kind="application/json"):
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Type", kind), *headers):
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def spoil(self, kind, work, id):
        """Answers otherwise than it should."""
        if kind.isdigit():
            return self.answer(int(kind), {"title": "no\x1b[31m"}, [("Retry-After", "1")] if kind in ("429", "503") else ())
        if kind == "deaf":
            return self.answer(202, self.server.state.machines[id].record())
        if kind == "hang":
            self.server.hung.wait(HANG_S)
            self.close_connection = True
            return None
        good = work()[1] or {}
        if kind == "lost":
            self.close_connection = True
            return None
        if kind == "cut":
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"{")
            return None
        text = json.dumps(good)
        bodies = {"garbage": "<html>", "empty": "", "list": "[]", "twice": text[:-1] + ', "state": "running"}', "more": text[:-1] + ', "x": 1}',
                  "huge": text[:-1] + ', "detail": "' + "x" * (1 << 20) + '"}', "other": re.sub("sbx_[0-9a-f]{8}", "sbx_00000000", text),
                  "boot": json.dumps({**good, "boot": 99}), "state": json.dumps({**good, "state": "gone"}),
                  "nul": text.replace("running", "running\\u0000"), "utf8": text[:-1] + ', "detail": "\udcff"}'}
        return self.answer(200, bodies[kind].encode("utf-8", "surrogateescape"))

    def control(self, name, body):
        server = self.server.state
        if name == "mischief" and body["operation"] == "machine_create":
            server.deal(body["kinds"], body["times"])
        elif name == "mischief":
            server.mischief[body["operation"]] = {"kind": body["kinds"][0] if body["kinds"] else "", "times": body["times"]}
        elif name == "power":
            server.boots = body["boots"]
        elif name == "kill":
            server.machines[body["id"]].end()
        self.answer(200, {"machines": {id: machine.record() for id, machine in list(server.machines.items())},
                          "starts": server.starts, "asked": server.asked,
                          "dealt": {id: dealt["kind"] for id, dealt in list(server.dealt.items())}})

    def find(self, operation, wanted, query):
        """What a request does: a function for (status, body)."""
        server, id = self.server.state, wanted
        machine = server.machines.get(id)
        if operation == "machine_list":
            ids = sorted(id for id, machine in list(server.machines.items()) if [machine.owner] == query.get("owner"))
            at = int(query.get("page_token", ["0"])[0])
            return lambda: (200, {"items": ids[at:at + 1], **({"next_page_token": str(at + 1)} if at + 1 < len(ids) else {})})
        if not machine:
            return lambda: (404, None)
        if operation == "machine_delete":
            return lambda: (204, server.delete(id))
        if operation == "machine_stop":
            return lambda: (machine.end(), (200, machine.record()))[1]
        if operation == "machine_console":
            after, limit = int(query["after"][0]), int(query["limit"][0])
            return lambda: (200, machine.console.read_bytes()[after:after + limit])
        return lambda: (200, machine.record())

    def handle_any(self):
        url = urllib.parse.urlsplit(self.path)
        query, size = urllib.parse.parse_qs(url.query), int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        if url.path.startswith("/_test"):
            return self.control(url.path[7:], body)
        if self.headers.get("Authorization") != "Bearer " + self.server.state.token:
            return self.answer(401)
        parts = re.fullmatch(r"/v1/machines(?:/(sbx_[0-9a-f]{32}))?((?::stop|/console)?)", url.path)
        assert parts, url.path
        operation = {("GET", "", False): "machine_list", ("POST", "", False): "machine_create", ("GET", "", True): "machine_show",
                     ("DELETE", "", True): "machine_delete", ("POST", ":stop", True): "machine_stop",
                     ("GET", "/console", True): "machine_console"}[self.command, parts[2], bool(parts[1])]
        if operation == "machine_create":
            key = self.headers["Idempotency-Key"]

            def work():
                return self.server.state.create(body, key)
        else:
            work = self.find(operation, parts[1], query)
        id = parts[1] or (body or {}).get("id")
        if kind := self.server.state.next_mischief(operation, id):
            return self.spoil(kind, work, id)
        status, record = work()
        return self.answer(status, record, kind="text/plain" if isinstance(record, bytes) else "application/json")

    do_GET = do_POST = do_DELETE = handle_any


def serve(arguments):
    folder = pathlib.Path(arguments.folder)
    listener = socket.socket(fileno=arguments.socket)
    server = http.server.ThreadingHTTPServer(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder / CA)
    server.socket = context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
    server.state, server.hung, server.daemon_threads = Server(folder, pathlib.Path(arguments.guest), arguments.relay), threading.Event(), True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    for machine in list(server.state.machines.values()):
        machine.end()


def main():
    if sys.argv[1] == "--machine":
        run_machine(int(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int)
    for name in ("--folder", "--guest", "--relay"):
        parser.add_argument(name)
    serve(parser.parse_args())


if __name__ == "__main__":
    main()
