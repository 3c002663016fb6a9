# SPDX-License-Identifier: Apache-2.0
"""The long description from a URL: a copy of the policy service that may ask one address of this host, and a server there.
Where the name leads elsewhere, or a redirect does, nobody is asked."""
import concurrent.futures
import contextlib
import datetime
import http.server
import ipaddress
import json
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import traffic
from certreg_stack import UnixConnection
from conftest import BUILD, short_folder, wait_for
from local_stack import unique
from test_retention import copies

MARKDOWN = "# Räume\n<script>alert(1)</script>\n"
LIMIT = 64 * 1024


def localhost_pem():
    """A self-signed certificate that is its own CA, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.utcnow()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - datetime.timedelta(minutes=1),
                                    now + datetime.timedelta(days=1))
            .add_extension(names, False).add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))
    return made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/held":
            self.server.let_go.wait(120)
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/slow":
            self.server.over.wait(120)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Answers by path; what was asked is kept."""
    daemon_threads = True

    def __init__(self, pem):
        super().__init__(("127.0.0.1", 0), Answers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.asked, self.over, self.port = [], threading.Event(), self.server_address[1]
        self.let_go = threading.Event()
        self.url = f"https://localhost:{self.port}"
        text = MARKDOWN.encode()
        self.answers = {
            "/readme.md": (200, {}, text), "/exact": (200, {}, b"x" * LIMIT), "/large": (200, {}, b"x" * (LIMIT + 1)),
            "/endless": (200, {"Content-Length": str(10**9)}, b"x" * (LIMIT + 1)), "/latin": (200, {}, b"\xe4"),
            "/nul": (200, {}, b"a\0b"), "/empty": (200, {}, b""), "/held": (200, {}, text), "/gone": (410, {}, text), "/half": (206, {}, text),
            "/here": (302, {"Location": "/readme.md"}, b""), "/whole": (301, {"Location": self.url + "/here"}, b""),
            "/loop": (302, {"Location": "/loop"}, b""), "/nowhere": (302, {}, b""), "/slow": (200, {"Content-Length": "10"}, b"x"),
            **{f"/to/{number}": (307, {"Location": target}, b"") for number, target in enumerate(self.targets())}}

    def targets(self):
        """Where a redirect must not lead."""
        return [f"https://127.0.0.1:{self.port}/readme.md", f"http://localhost:{self.port}/readme.md", "https://localhost:22/",
                "https://169.254.169.254/latest/meta-data/", "https://[::ffff:127.0.0.1]/", f"https://user@localhost:{self.port}/readme.md",
                f"//localhost:{self.port}/readme.md", "file:///etc/passwd", f"https://{socket.gethostname()}:{self.port}/readme.md"]


@pytest.fixture(scope="module")
def server():
    with short_folder("sr-named-") as folder:
        pem = folder / "localhost.pem"
        pem.write_bytes(localhost_pem())
        with Server(pem) as running:
            running.pem = pem
            threading.Thread(target=running.serve_forever, daemon=True).start()
            yield running
            running.over.set()
            running.shutdown()


class Fetching:
    """A copy of the service with these rows of configuration, and a member who asks it."""

    def __init__(self, owner, path):
        self.owner, self.path = owner, path
        self.record = owner.made("/v1/datasets", {"name": unique("data"), "direction": "input"})
        wait_for(self.is_ready, "the copy knows who may ask")

    def is_ready(self):
        with contextlib.closing(UnixConnection(self.path)) as connection:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200

    def ask(self, url, etag="*"):
        path = f"/v1/datasets/{self.record['id']}:fetch-description"
        body = json.dumps({"url": url})
        with contextlib.closing(UnixConnection(self.path)) as connection:
            connection.request("POST", path, body, {"Authorization": f"Bearer {self.owner.token('policy')}",
                                                    "Content-Type": "application/json", **({"If-Match": etag} if etag else {})})
            response = connection.getresponse()
            text = response.read()
        traffic.record("POST", path, body, response.status, response.headers, text)
        return response.status, json.loads(text)

    def refused(self, url, status, code):
        answer = self.ask(url)
        assert (answer[0], answer[1].get("code")) == (status, code), answer
        return answer[1]["detail"]


@contextlib.contextmanager
def fetching(stack, owner, **rows):
    with copies(BUILD / "bin/strongroom-policy", stack.folder / "etc/policy.conf", 1, **rows) as sockets:
        yield Fetching(owner, sockets[0])


@pytest.fixture(scope="module")
def open_one(stack, server):
    """May ask 127.0.0.1 at the server's port."""
    rows = {"fetch_ports": f"443,{server.port}", "fetch_prefixes": "127.0.0.1/32,::1/128", "fetch_ca_file": server.pem, "fetch_timeout": "5s"}
    with fetching(stack, stack.client("acme-owner"), **rows) as asked:
        yield asked


def test_text_becomes_the_long_description(open_one, server):
    before = open_one.owner.get(f"/v1/datasets/{open_one.record['id']}").json()
    status, record = open_one.ask(server.url + "/readme.md", before["etag"])
    assert status == 200 and record["long_description"] == MARKDOWN and record["etag"] != before["etag"]
    assert open_one.ask(server.url + "/readme.md", before["etag"])[1]["code"] == "resource.changed"
    assert open_one.ask(server.url + "/readme.md", None)[1]["code"] == "resource.if_match_missing"
    for path, text in (("/exact", "x" * LIMIT), ("/empty", ""), ("/here", MARKDOWN), ("/whole", MARKDOWN)):
        status, record = open_one.ask(server.url + path)
        assert status == 200 and record["long_description"] == text, path


@pytest.mark.parametrize("path, code", [
    ("/large", "url.too_large"), ("/endless", "url.too_large"), ("/latin", "url.not_text"), ("/nul", "url.not_text"),
    ("/gone", "url.failed"), ("/half", "url.failed"), ("/missing", "url.failed"), ("/nowhere", "url.failed"), ("/slow", "url.failed"),
    ("/loop", "url.refused")])
def test_answers_that_are_none(open_one, server, path, code):
    server.asked.clear()
    open_one.refused(server.url + path, 422, code)
    assert len(server.asked) == (4 if path == "/loop" else 1)


@pytest.mark.parametrize("number", range(9))
def test_redirects_do_not_lead_inside(open_one, server, number):
    server.asked.clear()
    if number == 8:  # this host's own name is no name of 127.0.0.1 everywhere
        addresses = {one[4][0] for one in resolved(socket.gethostname())}
        if addresses <= {"127.0.0.1", "::1"}:
            server.answers["/to/8"] = (307, {"Location": "https://no-such-host.invalid/"}, b"")
    open_one.refused(f"{server.url}/to/{number}", 422, "url.refused")
    assert server.asked == [f"/to/{number}"]


def resolved(name):
    try:
        return socket.getaddrinfo(name, 443)
    except socket.gaierror:
        return []


@pytest.mark.parametrize("url", [
    "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:7f00:1]/", "https://2130706433/", "https://0x7f.1/", "https://127.1/",
    "https://169.254.169.254/latest/meta-data/", "http://localhost/", "https://localhost:22/", "s3://bucket/key"])
def test_what_is_never_asked(open_one, server, url):
    server.asked.clear()
    open_one.refused(url, 422, "url.refused")
    assert server.asked == []


@pytest.mark.parametrize("url", [
    "https://user:word@localhost/", "gopher://localhost/", "https://localhost\\@example.org/", "https://localhost/ä", "x", "file:///etc/passwd"])
def test_what_is_no_url(open_one, url):
    open_one.refused(url, 400, "url.malformed")


def test_internal_names_are_like_unknown_ones(stack, server):
    """Without the operator's prefix: the name of an internal host, and one that nobody has."""
    with fetching(stack, stack.client("acme-owner"), fetch_ports=f"443,{server.port}", fetch_ca_file=server.pem) as closed:
        server.asked.clear()
        details = {closed.refused(url, 422, "url.refused") for url in (server.url + "/readme.md", f"https://no-such-host.invalid:{server.port}/")}
        assert len(details) == 1 and server.asked == []


def test_a_slow_host_is_its_tenants_own_loss(stack, server):
    rows = {"fetch_ports": str(server.port), "fetch_prefixes": "127.0.0.1/32,::1/128", "fetch_ca_file": server.pem, "fetch_timeout": "110s"}
    server.asked.clear()
    with fetching(stack, stack.client("acme-owner"), **rows) as slow, concurrent.futures.ThreadPoolExecutor(3) as pool:
        other = Fetching(stack.client("globex-owner"), slow.path)
        asking = [pool.submit(slow.ask, server.url + "/held") for _ in range(3)]
        try:
            wait_for(lambda: "/held" in server.asked, "one asks the slow host")
            for _ in range(3):
                assert other.ask(server.url + "/readme.md")[0] == 200
            assert server.asked.count("/held") == 1 and not any(one.done() for one in asking)
        finally:
            server.let_go.set()
        assert [one.result()[0] for one in asking] == [200] * 3


def test_a_host_that_nobody_vouches_for(stack, server):
    rows = {"fetch_ports": str(server.port), "fetch_prefixes": "127.0.0.1/32,::1/128"}  # the system's CAs
    with fetching(stack, stack.client("acme-owner"), **rows) as asked:
        server.asked.clear()
        asked.refused(server.url + "/readme.md", 422, "url.failed")
        assert server.asked == []


def test_proxies_of_the_environment_are_none_of_ours(stack, server, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    rows = {"fetch_ports": str(server.port), "fetch_prefixes": "127.0.0.1/32,::1/128", "fetch_ca_file": server.pem}
    with fetching(stack, stack.client("acme-owner"), **rows) as asked:
        assert asked.ask(server.url + "/readme.md")[0] == 200
