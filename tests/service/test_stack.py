# SPDX-License-Identifier: Apache-2.0
"""deploy/local/stack with the parts that need no build: starts, tells crashes, repairs, ends without a trace."""
import json
import os
import pathlib
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = ["postgres", "redis", "registry", "edge"]
NOBODY = 61699  # no part of any stack


class Stack:
    def __init__(self, folder):
        self.folder = folder

    def run(self, *args, check=True):
        env = {**os.environ, "STACK": str(self.folder)}
        env.pop("EDGE_PORT", None)
        done = subprocess.run([ROOT / "deploy/local/stack", *args], env=env, timeout=120, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def status(self):
        done = self.run("status", "--json", check=False)
        return done.returncode, {part["part"]: part for part in json.loads(done.stdout)["parts"]}, done.stderr

    def pid(self, part):
        return int((self.folder / "pids" / f"{part}.pid").read_text().split()[0])

    @property
    def run_dir(self):
        line = (self.folder / "etc/redis.conf").read_text().split("unixsocket ")[1]
        return pathlib.Path(line.split("\n")[0]).parents[1]

    def get(self, path, headers=(), context=None):
        """(status, content type, body) of a GET through the edge."""
        url = (self.folder / "etc/base-url").read_text().strip() + path
        context = context or ssl.create_default_context(cafile=self.folder / "pki/ca.pem")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=context))
        try:
            answer = opener.open(urllib.request.Request(url, headers=dict(headers)), timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.headers.get("Content-Type"), answer.read().decode()


@pytest.fixture(scope="module")
def stack():
    # not below pytest's own folder: that is closed to the parts' users
    with tempfile.TemporaryDirectory(prefix="strongroom-stack-") as folder:
        os.chmod(folder, 0o711)
        it = Stack(pathlib.Path(folder) / "var")
        try:
            it.run("up", *PARTS)
            yield it
        finally:
            it.run("purge")
        assert not it.folder.exists()


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_all_parts_run_and_a_second_up_changes_nothing(stack):
    before = {part: stack.pid(part) for part in PARTS}
    stack.run("up", *PARTS)
    assert {part: stack.pid(part) for part in PARTS} == before
    code, parts, _ = stack.status()
    assert code == 0
    assert [parts[part]["state"] for part in PARTS] == ["running"] * 4
    assert parts["certreg"]["state"] == "stopped"


@pytest.mark.parametrize("part", PARTS)
def test_a_crash_is_named_and_repaired(stack, part):
    pid = stack.pid(part)
    os.kill(pid, signal.SIGKILL)
    while alive(pid):
        pass
    code, parts, complaint = stack.status()
    assert code != 0 and f"{part} (crashed)" in complaint
    assert parts[part]["state"] == "crashed" and parts[part]["pid"] is None
    restarts = parts[part]["restarts"]
    stack.run("up", *PARTS)
    code, parts, _ = stack.status()
    assert code == 0 and parts[part]["restarts"] == restarts + 1


def test_a_recycled_pid_is_never_signalled(stack):
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        file = stack.folder / "pids/provisioner.pid"
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        file.write_text(f"{stranger.pid} 1 {boot} 1\n")
        sandbox = stack.folder / "sandboxes/sbx_test"
        sandbox.mkdir()
        (sandbox / "qemu.pid").write_text(f"{stranger.pid} 1 {boot}\n")
        assert stack.status()[1]["provisioner"]["state"] == "crashed"
        stack.run("down")
        assert stranger.poll() is None
        assert not file.exists() and not (sandbox / "qemu.pid").exists()
    finally:
        stranger.kill()
        stranger.wait()
    stack.run("up", *PARTS)


def test_down_leaves_nothing_and_two_stacks_live_side_by_side(stack):
    other = Stack(stack.folder.parent / "other")
    other.run("up", *PARTS)
    pids = [other.pid(part) for part in PARTS]
    run_dir = other.run_dir
    try:
        assert other.get("/")[0] == stack.get("/")[0] == 404
        assert (other.folder / "etc/edge-port").read_text() != (stack.folder / "etc/edge-port").read_text()
    finally:
        other.run("down")
    assert not any(alive(pid) for pid in pids) and not run_dir.exists()
    assert other.status()[0] == 0, "after down nothing should run"
    assert stack.status()[0] == 0
    other.run("purge")


def test_secrets_are_private(stack):
    files = [path for path in (stack.folder / "keys").rglob("*") if path.is_file()]
    assert any(path.parent.name == "token-signing" for path in files)
    for path in (stack.folder / "keys").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if path in files else 0o700), path
    secrets = [path.read_text().strip().split(":")[-1] for path in files
               if path.suffix not in {".pem", ".key"} and path.name != "certserial"]  # the last serial number of a vTPM
    logs = "".join(path.read_text() for path in (stack.folder / "log").iterdir())
    shown = logs + "".join(path.read_text() for path in (stack.folder / "etc").iterdir() if path.stat().st_mode & 0o044)
    assert len(secrets) == 12 and not [secret for secret in secrets if secret in shown]


@pytest.mark.skipif(os.geteuid() != 0, reason="without root every part runs as the same user")
@pytest.mark.parametrize("path", ["postgres/.s.PGSQL.5432", "redis/redis.sock", "registry/http.sock"])
def test_sockets_open_only_for_who_needs_them(stack, path):
    connect = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    done = subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                           "/usr/bin/python3", "-c", connect, stack.run_dir / path],
                          stderr=subprocess.PIPE, text=True)
    assert "PermissionError" in done.stderr
    assert stat.S_ISSOCK((stack.run_dir / path).stat().st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="without root every part runs as the same user")
def test_no_part_runs_as_root(stack):
    owners = {part: pathlib.Path(f"/proc/{stack.pid(part)}").stat().st_uid for part in PARTS}
    assert 0 not in owners.values() and len(set(owners.values())) == 4


@pytest.mark.parametrize("path", ["/", "/internal/v1/auth-state", "/v1/tenantsx", "/v1", "/v1/tenants/../../internal/v1/x",
                                  "/v1/tenants/..%2f..%2finternal/v1/x", "/V1/tenants", "/v22"])
def test_the_edge_knows_its_routes_only(stack, path):
    status, content_type, body = stack.get(path)
    assert (status, content_type) == (404, "application/problem+json")
    assert json.loads(body)["code"] == "edge.no_route"


@pytest.mark.parametrize("path", ["/v1/tenants", "/v1/runs/run_x:cancel", "/.well-known/jwks.json", "/v1/policies?x=1"])
def test_a_service_that_is_away_is_unavailable(stack, path):
    status, content_type, body = stack.get(path)
    assert (status, content_type) == (503, "application/problem+json")
    assert json.loads(body)["code"] == "edge.unavailable"


def oci_code(answer, status, code):
    assert answer[:2] == (status, "application/json")
    [error] = json.loads(answer[2])["errors"]
    assert error["message"] and error["detail"] == {"code": code}
    return error["code"]


@pytest.mark.parametrize("path, headers", [("/v1/%00", {}), ("/%zz", {}), ("/v1/runs", {"X-Long": "a" * 70000})])
def test_the_edge_refuses_a_bad_head_in_our_form(stack, path, headers):
    status, kind, body = stack.get(path, headers)
    assert (status, kind) == (400, "application/problem+json"), body
    assert json.loads(body)["code"] == "edge.bad_request"


def test_the_edge_refuses_as_the_registry_does(stack):
    """docker and its kin read nothing but OCI errors."""
    assert oci_code(stack.get("/v2/acme/app/manifests/latest"), 503, "edge.unavailable") == "UNAVAILABLE"


ADDRESS_LIMIT = 512


@pytest.fixture
def crowd(stack):
    """As many requests of one address as the edge takes; the services behind never answer. Ends with the fixture."""
    listeners = []
    for service in ("certreg", "registry-gw"):
        path = stack.run_dir / service / "http.sock"
        path.unlink(missing_ok=True)
        listeners.append(socket.socket(socket.AF_UNIX))
        listeners[-1].bind(str(path))
        path.chmod(0o666)
        listeners[-1].listen(2 * ADDRESS_LIMIT)
    context = ssl.create_default_context(cafile=stack.folder / "pki/ca.pem")
    port = int((stack.folder / "etc/edge-port").read_text())
    clients = []
    for _ in range(ADDRESS_LIMIT):
        clients.append(context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1"))
        clients[-1].sendall(b"GET /v1/tenants/self HTTP/1.1\r\nHost: edge\r\n\r\n")
    for _ in clients:  # all have arrived
        listeners[0].settimeout(20)
        listeners.append(listeners[0].accept()[0])
    yield
    for end in clients + listeners:
        end.close()
    for service in ("certreg", "registry-gw"):
        (stack.run_dir / service / "http.sock").unlink()


def test_one_address_does_not_take_the_whole_edge(stack, crowd):
    status, content_type, body = stack.get("/v1/tenants/self")
    assert (status, content_type) == (429, "application/problem+json")
    assert json.loads(body)["code"] == "edge.too_many_requests"
    assert oci_code(stack.get("/v2/"), 429, "edge.too_many_requests") == "TOOMANYREQUESTS"


@pytest.fixture
def heads(stack):
    """Heads of requests that arrive at certreg's socket, where a listener answers 200 to one request."""
    path = stack.run_dir / "certreg/http.sock"
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen(8)
    listener.settimeout(20)
    got = []

    def serve():
        connection, _ = listener.accept()
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            got.append(head.decode())
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield got
    thread.join()
    listener.close()
    path.unlink()


def test_the_edge_overwrites_what_services_trust(stack, heads):
    forged = {"X-Client-Cert": "forged", "X-Forwarded-For": "forged", "X-Forwarded-Proto": "forged", "Forwarded": "forged",
              "X-Forwarded-Host": "forged", "X-Request-Id": "req_0198c0de-0000-7000-8000-000000000001"}
    assert stack.get("/v1/tenants/self?a=%2F", forged)[0] == 200
    assert heads[0].startswith("GET /v1/tenants/self?a=%2F HTTP/1.1\r\n")
    assert "forged" not in heads[0] and "x-client-cert" not in heads[0].lower()
    assert "X-Request-Id: req_0198c0de-0000-7000-8000-000000000001\r\n" in heads[0]


def test_the_edge_hands_on_a_client_certificate(stack, heads, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=client", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
                   check=True, stderr=subprocess.DEVNULL)
    context = ssl.create_default_context(cafile=stack.folder / "pki/ca.pem")
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert stack.get("/v1/keys", {"X-Client-Cert": "forged"}, context)[0] == 200
    sent = heads[0].split("X-Client-Cert: ")[1].split("\r\n")[0]
    assert urllib.parse.unquote(sent).strip() == (tmp_path / "cert.pem").read_text().strip()


def test_a_guest_without_aes_instructions_gets_chacha(stack):
    port = (stack.folder / "etc/edge-port").read_text().strip()
    for offer, chosen in [("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
                          ("TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")]:
        said = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile",
                               stack.folder / "pki/ca.pem", "-verify_ip", "10.0.2.2", "-ciphersuites", offer],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20).stdout
        assert f"Cipher is {chosen}" in said and "Verify return code: 0 (ok)" in said
