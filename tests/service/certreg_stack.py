# SPDX-License-Identifier: Apache-2.0
"""certreg as a process of its own on a unix socket, with everything it needs, and a small HTTP client for it."""
import base64
import contextlib
import functools
import hashlib
import http.client
import http.server
import json
import pathlib
import re
import secrets
import signal
import socket
import socketserver
import subprocess
import threading
import time
import urllib.parse

import jsonschema
import pytest

import traffic
from conftest import BUILD, ROOT, LIMIT_S, short_folder, wait_for

BASE_URL = "https://strongroom.test:8443"
FEED = "/internal/v1/feed"


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, timeout=60).stdout


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims_of(token):
    return json.loads(from_b64url(token.split(".")[1]))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=LIMIT_S)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(self._path)


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["code"]


def ask(path, method, target, body=None, headers=None):
    connection = UnixConnection(path)
    try:
        connection.request(method, target, body, headers or {})
        answer = Answer(connection.getresponse())
    finally:
        connection.close()
    traffic.record(method, target, body, answer.status, answer.headers, answer.body)
    check_contract(method, target, answer)
    return answer


@functools.lru_cache
def contract():
    return json.loads((ROOT / "proto/openapi/certreg.json").read_text())


def check_contract(method, target, answer):
    """Every answer of these tests is one that the contract knows."""
    path = target.partition("?")[0]
    if path in ("/readyz", "/metrics"):
        return
    template = next(name for name in sorted(contract()["paths"], key=lambda name: ("{" in name, -len(name)))
                    if re.fullmatch(re.sub(r"{[a-z_]+}", "[^/:]+", name), path))
    responses = contract()["paths"][template][method.lower()]["responses"]
    assert str(answer.status) in responses, (method, path, answer.status, answer.body)
    content = responses[str(answer.status)].get("content")
    if not content:
        assert not answer.body
        return
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind in content, (method, path, kind)
    if kind.endswith(("/json", "+json")):
        jsonschema.validate(answer.json, {**content[kind]["schema"], "components": contract()["components"]},
                            cls=jsonschema.Draft202012Validator)


class P256:
    """A P-256 key in a PEM file, used by the openssl program only."""

    def __init__(self, file, kind=("EC", "-pkeyopt", "ec_paramgen_curve:P-256")):
        self.file = pathlib.Path(file)
        openssl("genpkey", "-algorithm", *kind, "-out", self.file)

    def sign(self, data):
        message = self.file.with_suffix(".msg")
        message.write_bytes(data)
        return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.file, "-in", message)

    def spki(self):
        return "sha256:" + openssl("dgst", "-sha256", "-hex", "-r",
                                   data=openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER"))[:64].decode()

    def certificate(self, name, *more, ca="FALSE", days=365):
        return openssl("req", "-x509", "-new", "-key", self.file, "-subj", f"/CN={name}", "-days", days, "-addext",
                       f"basicConstraints=critical,CA:{ca}", *more).decode()

    def request(self, subject="/CN=machine"):
        """A PKCS#10 request, as EST wants it: base64 of the DER."""
        return base64.encodebytes(openssl("req", "-new", "-key", self.file, "-subj", subject, "-outform", "DER")).decode()

    def certificate_between(self, start, end):
        """`openssl req` knows no dates in the past, `openssl ca` does."""
        folder = self.file.parent
        (folder / "index").write_text("")
        (folder / "ca.conf").write_text(f"[ca]\ndefault_ca = own\n[own]\ndatabase = {folder}/index\nnew_certs_dir = {folder}\n"
                                        "rand_serial = yes\ndefault_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n")
        request = folder / "request.pem"
        request.write_bytes(openssl("req", "-new", "-key", self.file, "-subj", "/CN=old"))
        return openssl("ca", "-batch", "-notext", "-selfsign", "-config", folder / "ca.conf", "-keyfile", self.file, "-in",
                       request, "-startdate", start, "-enddate", end).decode()

    def jwk(self):
        point = openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-64:]
        return {"kty": "EC", "crv": "P-256", "x": b64url(point[:32]), "y": b64url(point[32:]), "use": "sig",
                "alg": "ES256"}

    def jwt(self, typ, claims, **header):
        head = b64url(json.dumps({"alg": "ES256", "typ": typ, **header}).encode())
        text = f"{head}.{b64url(json.dumps(claims).encode())}"
        der = self.sign(text.encode())
        length = der[3]
        r, s = der[4:4 + length], der[6 + length:]
        return f"{text}.{b64url(r[-32:].rjust(32, bytes(1)) + s[-32:].rjust(32, bytes(1)))}"


class Witness:
    """An Ed25519 key under a name, as C2SP's tlog-cosignature has it; independent of the code under test."""

    def __init__(self, file, name):
        self.key, self.name = P256(file, kind=("ED25519",)), name
        public = openssl("pkey", "-in", file, "-pubout", "-outform", "DER")[-32:]
        self.id = hashlib.sha256(name.encode() + b"\n\x04" + public).digest()[:4]
        self.vkey = f"{name}+{self.id.hex()}+{base64.b64encode(bytes([4]) + public).decode()}"

    def line(self, note, at):
        text = note[:note.index("\n\n") + 1]
        signature = self.key.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        return f"\u2014 {self.name} {base64.b64encode(self.id + at.to_bytes(8, 'big') + signature).decode()}\n"


class Peer:
    """Another service's internal routes, answered from a table; keeps the assertions it was shown."""

    def __init__(self, path):
        self.table, self.seen, self.fed, self.path = {FEED: {"items": []}}, [], [], path
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.partition("?")[0]
                if path == FEED:
                    peer.fed.append(self.path)
                else:
                    peer.seen.append(self.headers["Authorization"])
                found = peer.table.get(path if path == FEED else self.path)
                body = json.dumps(found or {"code": "sandbox.not_found", "detail": "none", "status": 404}).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # what has no body

            def log_message(self, *_):
                pass

            def address_string(self):
                return "unix"

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.server = Server(str(path), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Certreg:
    """Program, keys, folders; start() after make()."""

    def __init__(self, folder, postgres, redis):
        self.folder, self.postgres, self.redis, self.process = folder, postgres, redis, None
        self.socket, self.conf, self.log = folder / "certreg.sock", folder / "certreg.conf", folder / "log"
        self.mirror, self.keys = folder / "certificates", folder / "credentials"
        self.provisioner = self.orchestrator = None

    def make(self):
        runtime, owner = self.postgres.make_roles("certreg")
        self.postgres.drop_schema("certreg")
        (self.folder / "peers").mkdir()
        self.signing_keys = self.folder / "signing-keys"
        self.signing_keys.mkdir()
        P256(self.signing_keys / "1700000000.pem")
        P256(self.folder / "audit.pem", kind=("ED25519",))
        self.witness = Witness(self.folder / "witness.pem", "witness.test/1")
        (self.folder / "witnesses").write_text(f"# who may cosign\n{self.witness.vkey}\n")
        (self.folder / "ca.pem").write_text(P256(self.folder / "ca.key").certificate(
            "machine CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign", ca="TRUE"))
        key = P256(self.folder / "service.pem")
        (self.folder / "peers" / "certreg.pem").write_bytes(openssl("pkey", "-in", key.file, "-pubout"))
        (self.folder / "pepper").write_text(secrets.token_hex(32))
        self.conf.write_text("".join(f"{name} = {value}\n" for name, value in {
            "listen": f"unix:{self.socket}", "base_url": BASE_URL, "database": runtime, "migrate_database": owner,
            "redis": self.redis.address, "service_key": key.file, "peers_dir": self.folder / "peers",
            "certreg_url": f"unix:{self.socket}", "provisioner_url": f"unix:{self.folder}/provisioner.sock",
            "orchestrator_url": f"unix:{self.folder}/orchestrator.sock", "log_level": "info",
            "signing_keys_dir": self.signing_keys, "pepper": self.folder / "pepper",
            "ca_key": self.folder / "ca.key", "ca_certificate": self.folder / "ca.pem", "mirror_dir": self.mirror, "audit_key": self.folder / "audit.pem",
            "witness_keys": self.folder / "witnesses", "edge_names": "edge.test 10.0.2.2:8443"}.items()))
        self.provisioner = Peer(self.folder / "provisioner.sock")
        self.orchestrator = Peer(self.folder / "orchestrator.sock")
        self.run("--migrate")
        self.bootstrap()

    def run(self, *arguments):
        done = subprocess.run([BUILD / "bin/strongroom-certreg", "--config", self.conf, *arguments],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def bootstrap(self):
        self.run("--bootstrap", str(self.keys))

    def start(self):
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen([BUILD / "bin/strongroom-certreg", "--config", self.conf],
                                        stderr=open(self.log, "a"), stdin=subprocess.DEVNULL)
        wait_for(self.is_ready, "certreg is ready")

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        return ask(self.socket, "GET", "/readyz").status == 200

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(LIMIT_S) == 0, self.log.read_text()[-4000:]

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.stop()
        for peer in (self.provisioner, self.orchestrator):
            if peer:
                peer.close()

    def key(self, who):
        return (self.keys / f"{who}.key").read_text().rstrip("\n")

    def ask(self, method, target, body=None, **headers):
        return ask(self.socket, method, target, body, {k.replace("_", "-"): v for k, v in headers.items()})

    def token_request(self, headers=None, target="/v1/token", **form):
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return ask(self.socket, "POST", target, urllib.parse.urlencode(form), headers)

    def registry_form(self, target="/v1/registry-token", **form):
        grant = "urn:ietf:params:oauth:grant-type:jwt-bearer" if "assertion" in form else "password"
        return self.token_request(target=target, **{"grant_type": grant, "service": "registry-gw", **form})

    def token_answer(self, key, audience="certreg", **form):
        return self.token_request(grant_type="client_credentials", audience=audience, client_id=key_id(key),
                                  client_secret=key, **form)

    def client(self, who, **form):
        answer = self.token_answer(self.key(who), **form)
        assert answer.status == 200, answer.body
        return Client(self, answer.json["access_token"])


def key_id(key):
    return "key_" + key.split("_")[1]


class Client:
    """A member with a token."""

    def __init__(self, certreg, token):
        self.certreg, self.token, self.claims = certreg, token, claims_of(token)

    def ask(self, method, target, body=None, **headers):
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("Content_Type", "application/json")
        return self.certreg.ask(method, target, body, Authorization=f"Bearer {self.token}", **headers)

    def get(self, target, **headers):
        return self.ask("GET", target, **headers)

    def post(self, target, body, **headers):
        return self.ask("POST", target, body, **headers)

    def proof(self, key, *, challenge=None, nonce=None, tenant=None, base_url=BASE_URL, spki=None):
        challenge = challenge or self.post("/v1/challenges", {"spki": key.spki()}).json
        client_nonce = secrets.token_hex(32)
        message = (f"strongroom-cert-pop-v1\n{base_url}\n{tenant or self.claims['tenant_name']}\n{spki or key.spki()}\n"
                   f"{nonce or challenge['nonce']}\n{client_nonce}\n")
        return {"challenge": challenge["id"], "client_nonce": client_nonce,
                "signature": base64.b64encode(key.sign(message.encode())).decode()}

    def register(self, key, *more, headers=None, body=None, **proof):
        return self.post("/v1/certificates", {"certificate_pem": key.certificate("somebody", *more),
                                              "proof": self.proof(key, **proof), **(body or {})}, **(headers or {}))

    def certificate(self, id_):
        return self.get(f"/v1/certificates/{id_}").json

    def revoke(self, id_, **body):
        return self.post(f"/v1/certificates/{id_}:revoke", body)

    def rotation(self, old, new, **more):
        """A body for :rotate: one message, signed by both keys."""
        challenge = self.post("/v1/challenges", {"spki": new.spki()}).json
        proof = self.proof(new, challenge=challenge)
        message = (f"strongroom-cert-pop-v1\n{BASE_URL}\n{self.claims['tenant_name']}\n{new.spki()}\n{challenge['nonce']}\n"
                   f"{proof['client_nonce']}\n")
        return {"certificate_pem": new.certificate("somebody"), "proof": proof,
                "proof_old": {"signature": base64.b64encode(old.sign(message.encode())).decode()}, **more}


@contextlib.contextmanager
def certreg_process(folder, postgres, redis):
    certreg = Certreg(folder, postgres, redis)
    try:
        certreg.make()
        certreg.start()
        yield certreg
    finally:
        certreg.close()
        if certreg.process and certreg.process.poll() is None:
            certreg.kill()


def unix_now():
    return int(time.time())


@pytest.fixture(scope="module")
def certreg(postgres, redis):
    with short_folder("sr-crt-") as folder, certreg_process(folder, postgres, redis) as running:
        yield running


@pytest.fixture(scope="module")
def owner(certreg):
    return certreg.client("acme-owner")


@pytest.fixture(scope="module")
def algo(certreg):
    return certreg.client("acme-algo")


@pytest.fixture(scope="module")
def globex(certreg):
    return certreg.client("globex-owner")


@pytest.fixture
def new_key(tmp_path):
    return lambda name="key", **kind: P256(tmp_path / f"{name}.pem", **kind)


def is_problem(answer, status, code):
    assert (answer.status, answer.code) == (status, code), answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    return True
