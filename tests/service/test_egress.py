# SPDX-License-Identifier: Apache-2.0
"""Ways out of a sandbox: an agent of our own asks the real orchestrator, directly and through the real edge (nginx), for
connections to servers of this host, whose address is in a listed prefix."""
import contextlib
import hashlib
import json
import os
import select
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

import traffic
from certreg_stack import P256, certreg_process, is_problem
from conftest import LIMIT_S, ROOT, short_folder, wait_for
from registry_stack import free_port
from test_agent_routes import Agent, Orchestrator, Run
from test_dataset_description import localhost_pem

MIB = 1 << 20
PATIENCE_S = 30


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


def read_all(connection):
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_body(connection, head):
    length = int(next(line for line in head.lower().splitlines() if line.startswith("content-length:")).split(":")[1])
    return read_exactly(connection, length)


def read_exactly(connection, count):
    parts = []
    while count:
        part = connection.recv(min(count, 65536))
        assert part, f"ended {count} bytes too early"
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class Target:
    """A server of this host. The first line says what it does: `echo`, `take` all and then tell its digest, `wait` for `go` before
    that, `say` N bytes and end its side, then count."""

    def __init__(self, pem=None):
        self.go, self.ended, self.counted, target = threading.Event(), threading.Event(), [], self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    target.serve(self.request)
                target.ended.set()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def get_request(self):
                connection, address = super().get_request()
                return (context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                        if context else connection), address

        context = None
        if pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.name = f"localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, connection):
        line = b""
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                return
            line += byte
        what, _, count = line.decode().strip().partition(" ")
        if what == "echo":
            while data := connection.recv(65536):
                connection.sendall(data)
        elif what == "say":
            connection.sendall(b"y" * int(count))
            connection.shutdown(socket.SHUT_WR)
            self.counted.append(read_all(connection))
        elif what == "drip":
            connection.shutdown(socket.SHUT_WR)
            got = bytearray()
            while part := connection.recv(32 * 1024):
                got += part
                time.sleep(0.002)
            self.counted.append(bytes(got))
        else:
            if what == "wait":
                self.go.wait(PATIENCE_S)
            data = read_all(connection)
            connection.sendall(f"{len(data)} {digest_of(data)}".encode())

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Edge:
    """nginx with the configuration that the local stack has, in front of one orchestrator."""

    def __init__(self, folder, orchestrator_socket):
        self.folder, self.port = folder, free_port()
        for name in ("edge", "pki", "keys", "run/orchestrator"):
            (folder / name).mkdir(parents=True)
        (folder / "run/orchestrator/http.sock").symlink_to(orchestrator_socket)
        (folder / "pki/edge.pem").write_text(P256(folder / "keys/edge.key").certificate(
            "edge", "-addext", "subjectAltName=IP:127.0.0.1", ca="TRUE"))
        script = ". deploy/local/parts/edge.sh; SERVICES=(certreg provisioner registry-gw policy orchestrator); edge_conf"
        conf = subprocess.run(["bash", "-euc", script], cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=60, env={
            **os.environ, "SOURCE": str(ROOT), "ROOT": str(folder), "RUN": str(folder / "run"), "EDGE_PORT": str(self.port)}).stdout
        (folder / "edge.conf").write_bytes(conf)
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        user = "user root root;" if os.geteuid() == 0 else ""
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen([nginx, "-e", "stderr", "-p", f"{folder}/edge/", "-c", folder / "edge.conf", "-g", user],
                                        stdin=subprocess.DEVNULL, stderr=self.log)
        self.context = ssl.create_default_context(cafile=folder / "pki/edge.pem")
        wait_for(self.is_up, "the edge listens")

    def is_up(self):
        with contextlib.closing(self.connect()):
            return True

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        return self.context.wrap_socket(plain, server_hostname="127.0.0.1")

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT_S)
        self.log.close()


class Inner:
    """TLS to a target, inside of a tunnel that may be TLS itself."""

    def __init__(self, tunnel, pem):
        self.tunnel, self.incoming, self.outgoing = tunnel, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ssl.create_default_context(cafile=pem).wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.do(self.tls.do_handshake)

    def do(self, function, *arguments):
        while True:
            try:
                result = function(*arguments)
            except ssl.SSLWantReadError:
                self.tunnel.sendall(self.outgoing.read())
                data = self.tunnel.recv(65536)
                assert data, "the tunnel ended"
                self.incoming.write(data)
                continue
            self.tunnel.sendall(self.outgoing.read())
            return result

    def sendall(self, data):
        while data:
            data = data[self.do(self.tls.write, data):]

    def recv(self, count):
        return self.do(self.tls.read, count)


class Out:
    """Runs and their ways out."""

    def __init__(self, orchestrator, target):
        self.orchestrator, self.target, self.via = orchestrator, target, None

    def run(self, *domains, mode="direct"):
        policy = {"egress": {"mode": mode, "domains": list(domains or [self.target.name]), "roots": None}}
        return Run(self.orchestrator, self.orchestrator.certreg.client("acme-algo"), policy=policy).running()

    def connect(self):
        if self.via:
            return self.via.connect()
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE_S)
        connection.connect(str(self.orchestrator.socket))
        return connection

    def ask(self, run, /, target=None, agent=None, upgrade="strongroom-egress", **changes):
        """(the connection, the answer's head and what came behind it)."""
        asked = {"target": target or self.target.name, "run": run.id, "fence": run.fence, **changes}
        query = urllib.parse.urlencode({name: value for name, value in asked.items() if value is not None})
        headers = {"Host": "strongroom.test:8443", **(agent or run.agent).credentials("GET", "/v1/agent/egress"),
                   **({"Connection": "Upgrade", "Upgrade": upgrade} if upgrade else {})}
        connection = self.connect()
        connection.sendall(f"GET /v1/agent/egress?{query} HTTP/1.1\r\n".encode() +
                           "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n")
        text = b""
        while b"\r\n\r\n" not in text:
            part = connection.recv(1)
            assert part, text
            text += part
        return connection, text.decode()

    def open(self, run, /, **more):
        connection, head = self.ask(run, **more)
        assert head.startswith("HTTP/1.1 101 "), head + read_body(connection, head).decode()
        assert "\r\nConnection: upgrade\r\n".lower() in head.lower() and "\r\nUpgrade: strongroom-egress\r\n" in head, head
        return connection

    def refused(self, status, code, run, /, **more):
        connection, head = self.ask(run, **more)
        with contextlib.closing(connection):
            body = json.loads(read_body(connection, head))
        assert head.startswith(f"HTTP/1.1 {status} ") and body["code"] == code, (head, body)
        fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
        traffic.record("GET", "/v1/agent/egress", None, status, fields, json.dumps(body))
        return head


@pytest.fixture(scope="module")
def pem():
    with short_folder("sr-pem-") as folder:
        (folder / "localhost.pem").write_bytes(localhost_pem())
        yield folder / "localhost.pem"


@pytest.fixture
def target():
    made = Target()
    yield made
    made.close()


@pytest.fixture(scope="module")
def orchestrator(postgres, redis):
    with short_folder("sr-crt-") as crt, short_folder("sr-orc-") as folder, certreg_process(crt, postgres, redis) as certreg:
        running = Orchestrator(folder, certreg, fetch_prefixes="127.0.0.1/32,::1/128", fetch_ports="1024-65535")
        running.start()
        yield running
        running.stop()


@pytest.fixture(scope="module")
def edge(orchestrator):
    with short_folder("sr-edge-") as folder:
        made = Edge(folder, orchestrator.socket)
        yield made
        made.close()


@pytest.fixture
def out(orchestrator, target):
    return Out(orchestrator, target)


def shown(run, **counts):
    """What the run's record says of its one target, when the counts have come to it."""
    def fits():
        items = run.show()["egress"]
        return len(items) == 1 and all(items[0][name] == count for name, count in counts.items()) and items[0]
    return wait_for(fits, f"{counts} in {run.show()['egress']}")


def audited(run):
    rows = run.agent.orchestrator.certreg.postgres.sql(
        "SELECT record FROM orchestrator.audit_outbox UNION ALL SELECT record FROM certreg.audit_record")
    records = [json.loads(row[0]) for row in rows]
    return [record for record in records if record.get("action") == "run.egress" and run.id in json.dumps(record)]


def test_tls_from_end_to_end_through_the_edge(out, edge, pem, orchestrator):
    tls, out.via = Target(pem), edge
    run, data = out.run(tls.name), os.urandom(6 * MIB)
    with contextlib.closing(out.open(run, target=tls.name)) as tunnel:
        inner = Inner(tunnel, pem)
        inner.sendall(b"echo\n")
        for at in range(0, len(data), 128 * 1024):
            part = data[at:at + 128 * 1024]
            inner.sendall(part)
            assert read_exactly(inner, len(part)) == part, at
    counts = shown(run, connections=1)
    assert counts["target"] == tls.name
    wait_for(lambda: min(run.show()["egress"][0][name] for name in ("bytes_in", "bytes_out")) > len(data), "all bytes are counted")
    with contextlib.closing(out.open(run, target=tls.name)):
        shown(run, connections=2)
    assert len(audited(run)) == 1
    tls.close()
    assert run.member("POST", f"/v1/runs/{run.id}:cancel").status == 202


def test_each_side_ends_by_itself(out, target):
    run, data = out.run(), os.urandom(2 * MIB)
    with contextlib.closing(out.open(run)) as tunnel:
        tunnel.sendall(b"take\n" + data)
        tunnel.shutdown(socket.SHUT_WR)
        assert read_all(tunnel) == f"{len(data)} {digest_of(data)}".encode()
    with contextlib.closing(out.open(run)) as tunnel:
        tunnel.sendall(b"say 3000000\n")
        assert read_all(tunnel) == b"y" * 3000000
        tunnel.sendall(data)
        tunnel.shutdown(socket.SHUT_WR)
        wait_for(lambda: target.counted == [data], "the target has all that came behind its own end")
    said = len(f"{len(data)} {digest_of(data)}")
    shown(run, connections=2, bytes_in=3000000 + said, bytes_out=2 * len(data) + len("take\n") + len("say 3000000\n"))


def test_who_ended_first_gets_the_rest_however_slowly_it_reads(out, target):
    run, data = out.run(), os.urandom(8 * MIB)
    with contextlib.closing(out.open(run)) as tunnel:
        tunnel.sendall(b"drip\n")
        assert read_all(tunnel) == b""
        tunnel.sendall(data)
        tunnel.shutdown(socket.SHUT_WR)
        wait_for(lambda: target.counted, "the target is through")
    assert target.counted == [data], len(target.counted[0])
    shown(run, connections=1, bytes_in=0, bytes_out=len(data) + len("drip\n"))


def test_the_edge_hands_on_what_came_before_an_end(out, edge, target):
    """nginx ends both directions with the first, behind its last byte."""
    out.via = edge
    run, data = out.run(), os.urandom(2 * MIB)
    with contextlib.closing(out.open(run)) as tunnel:
        tunnel.sendall(b"say 3000000\n")
        assert read_all(tunnel) == b"y" * 3000000
    with contextlib.closing(out.open(run)) as tunnel:
        tunnel.sendall(b"say 0\n")
    tunnel = out.open(run)
    tunnel.sendall(b"take\n" + data)
    tunnel.close()
    shown(run, connections=3, bytes_out=len(data) + len("take\n") + len("say 3000000\n") + len("say 0\n"))


def test_who_does_not_read_is_waited_for(out, target):
    run, data, sent = out.run(), os.urandom(48 * MIB), 0
    with contextlib.closing(out.open(run)) as tunnel:
        tunnel.sendall(b"wait\n")
        while select.select([], [tunnel], [], 0.3)[1] and sent < len(data):
            sent += tunnel.send(data[sent:sent + 65536])
        assert sent < len(data) / 2, "somebody keeps what nobody reads"
        target.go.set()
        tunnel.sendall(data[sent:])
        tunnel.shutdown(socket.SHUT_WR)
        assert read_all(tunnel) == f"{len(data)} {digest_of(data)}".encode()


def test_refused(out, target, edge, orchestrator):
    elsewhere, closed = f"127.0.0.2:{target.port}", free_port()
    run = out.run(target.name, elsewhere, "localhost:443", "169.254.169.254:80", "nowhere.invalid:443", f"localhost:{closed}")
    for via in (None, edge):
        out.via = via
        for other in (f"localhost:{target.port + 1}", f"LOCALHOST:{target.port}", "localhost", ":", f"localhost:{target.port}:443", "[::1]:443"):
            out.refused(403, "egress.not_in_policy", run, target=other)
        for other in (elsewhere, "localhost:443", "169.254.169.254:80", "nowhere.invalid:443"):
            out.refused(403, "egress.address_refused", run, target=other)
        out.refused(502, "egress.unreachable", run, target=f"localhost:{closed}")
        for fence in (run.fence - 1, run.fence + 1):
            out.refused(409, "run.stale_fence", run, fence=fence)
        for changes in ({"fence": None}, {"fence": "x"}, {"run": None}, {"fence": ""}):
            out.refused(400, "egress.bad_request", run, **changes)
        out.refused(404, "run.not_found", run, agent=Agent(orchestrator, run.claims))
        out.refused(426, "request.no_upgrade", run, upgrade="websocket")
    is_problem(run.member("GET", "/v1/agent/egress"), 426, "request.no_upgrade")
    is_problem(run.member("GET", "/v1/agent/egress", Connection="Upgrade", Upgrade="strongroom-egress"), 401, "auth.missing")
    assert {item["target"] for item in run.show()["egress"]} == {f"localhost:{closed}"}, "what was refused is not in the record"


def test_a_policy_without_egress_reaches_nothing(out):
    run = Run(out.orchestrator, out.orchestrator.certreg.client("acme-algo")).running()
    out.refused(403, "egress.not_in_policy", run)


def test_a_run_has_so_many_and_no_more(out):
    run = out.run()
    with contextlib.ExitStack() as opened:
        first = out.open(run)
        for _ in range(15):
            opened.enter_context(contextlib.closing(out.open(run)))
        assert "\r\nRetry-After: " in out.refused(429, "egress.too_many", run)
        opened.enter_context(contextlib.closing(out.open(out.run())))  # another run's are its own
        first.close()

        def opens():
            connection, head = out.ask(run)
            opened.enter_context(contextlib.closing(connection))
            return " 101 " in head
        wait_for(opens, "there is room again")


@pytest.mark.parametrize("how", ["cancelled", "taken away", "over"])
def test_it_ends_with_its_run(out, target, how):
    run = out.run()
    with contextlib.closing(out.open(run)) as tunnel:
        tunnel.sendall(b"echo\nhello")
        assert read_exactly(tunnel, 5) == b"hello"
        if how == "cancelled":
            assert run.member("POST", f"/v1/runs/{run.id}:cancel").status == 202
        elif how == "taken away":
            run.agent.record["boot"] = 2
        else:
            data = b"output"
            assert run.result(run.agent.output(run.id, run.fence, data).json["id"], data).status == 200
        with contextlib.suppress(ConnectionResetError):
            assert tunnel.recv(1) == b""
        assert target.ended.wait(PATIENCE_S)
    shown(run, connections=1, bytes_in=5, bytes_out=10)
    connection, head = out.ask(run)
    connection.close()
    assert " 409 " in head or " 404 " in head


def test_it_ends_with_its_tenant(out, orchestrator):
    certreg = orchestrator.certreg
    operator, client = certreg.client("system-operator"), certreg.client("globex-owner")
    policy = {"egress": {"mode": "direct", "domains": [out.target.name], "roots": None}}
    run = Run(orchestrator, client, who="globex-owner", policy=policy).running()
    tenant = f"/v1/tenants/{client.claims['tenant']}"
    with contextlib.closing(out.open(run)) as tunnel:
        tunnel.sendall(b"echo\nhello")
        assert read_exactly(tunnel, 5) == b"hello"
        assert operator.ask("POST", f"{tenant}:suspend", If_Match="*").status == 200
        try:
            with contextlib.suppress(ConnectionResetError):
                assert tunnel.recv(1) == b""
            out.refused(401, "auth.revoked", run)
        finally:
            assert operator.ask("POST", f"{tenant}:resume", If_Match="*").status == 200


def test_kill_leaves_nothing(out, target, orchestrator):
    run = out.run()
    tunnels = [out.open(run) for _ in range(16)]
    tunnels[0].sendall(b"echo\nhello")
    assert read_exactly(tunnels[0], 5) == b"hello"
    orchestrator.process.kill()
    orchestrator.process.wait()
    for tunnel in tunnels:
        with contextlib.suppress(ConnectionResetError):
            assert tunnel.recv(1) == b""
        tunnel.close()
    assert target.ended.wait(PATIENCE_S)
    orchestrator.start()
    again = [out.open(run) for _ in range(16)]
    for tunnel in again:
        tunnel.close()
    wait_for(lambda: run.show()["egress"][0]["connections"] >= 16, "the new ones are counted")


def test_a_stop_writes_what_was_counted(out, orchestrator):
    """And not only what was a quarter of a minute old."""
    run = out.run()
    with contextlib.closing(out.open(run)) as tunnel:
        shown(run, connections=1)
        tunnel.sendall(b"echo\nhello")
        assert read_exactly(tunnel, 5) == b"hello"
        orchestrator.process.send_signal(signal.SIGTERM)
    assert orchestrator.process.wait(LIMIT_S) == 0
    orchestrator.start()
    item, = wait_for(lambda: run.show().get("egress"), "the run is shown again")
    assert (item["connections"], item["bytes_in"], item["bytes_out"]) == (1, 5, 10)
