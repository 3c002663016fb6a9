# SPDX-License-Identifier: Apache-2.0
"""registry-gw as a process of its own in front of the real docker-registry, with the real certreg for its tokens."""
import base64
import contextlib
import copy
import hashlib
import http.client
import json
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import urllib.parse

import pytest

import traffic
from certreg_stack import BASE_URL, P256, b64url, certreg_process, claims_of, unix_now
from conftest import BUILD, LIMIT_S, ROOT, short_folder, wait_for

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
VECTOR = ROOT / "tests/data/ocicrypt-ec"  # made by skopeo; README.txt there


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Forwarder:
    """TCP on loopback to a unix socket, byte for byte: how stock clients reach certreg here."""

    def __init__(self, path):
        self.path, self.listener = str(path), socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.path)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        self.listener.close()


class DockerRegistry:
    """Debian's, on a unix socket, with an http.secret that the gateway knows too."""

    def __init__(self, folder):
        self.folder, self.socket, self.storage = folder, folder / "registry.sock", folder / "storage"
        self.secret, self.process = secrets.token_hex(32), None

    def write_conf(self):
        self.socket.unlink(missing_ok=True)
        conf = self.folder / "registry.yml"
        conf.write_text(f"""version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {self.storage}}}
  delete: {{enabled: true}}
  cache: {{blobdescriptor: inmemory}}
http: {{net: unix, addr: {self.socket}, secret: {self.secret}}}
""")
        return conf

    def start(self):
        conf = self.write_conf()
        self.process = subprocess.Popen(["docker-registry", "serve", str(conf)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=open(self.folder / "registry.log", "a"))
        wait_for(self._answers, "docker-registry answers")

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.socket))
        return True

    def has_blob(self, repository, digest, kind="_layers"):
        """Whether its repository links to it."""
        return (self.storage / "docker/registry/v2/repositories" / repository / kind / "sha256" / digest[7:] / "link").exists()

    def has_manifest(self, repository, digest):
        return self.has_blob(repository, digest, "_manifests/revisions")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Gateway:
    def __init__(self, folder, postgres, redis, certreg, registry):
        self.folder, self.postgres, self.certreg, self.registry = folder, postgres, certreg, registry
        self.port, self.forwarder, self.process = free_port(), Forwarder(certreg.socket), None
        self.conf, self.log = folder / "gw.conf", folder / "gw.log"
        self.base_url = f"http://127.0.0.1:{self.forwarder.port}"
        runtime, owner = postgres.make_roles("registry-gw")
        postgres.drop_schema("registry-gw")
        P256(folder / "gw.pem")
        (folder / "secret").write_text(registry.secret + "\n")
        self.rows = {
            "listen": f"tcp:127.0.0.1:{self.port}", "base_url": self.base_url, "database": runtime,
            "migrate_database": owner, "redis": redis.address, "service_key": folder / "gw.pem",
            "peers_dir": certreg.folder / "peers", "certreg_url": f"unix:{certreg.socket}", "log_level": "info",
            "registry_socket": registry.socket, "registry_storage": registry.storage,
            "registry_secret_file": folder / "secret"}
        self.configure()
        done = subprocess.run([BUILD / "bin/strongroom-registry-gw", "--config", self.conf, "--migrate"],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def copy(self):
        """Another process of the same service."""
        other = copy.copy(self)
        other.port, other.process = free_port(), None
        other.conf, other.log = self.folder / "gw2.conf", self.folder / "gw2.log"
        other.rows = {**self.rows, "listen": f"tcp:127.0.0.1:{other.port}", "instance": "second"}
        other.configure()
        return other

    def configure(self, **rows):
        self.conf.write_text("".join(f"{name} = {value}\n" for name, value in {**self.rows, **rows}.items()))

    def start(self):
        self.process = subprocess.Popen([BUILD / "bin/strongroom-registry-gw", "--config", self.conf],
                                        stderr=open(self.log, "a"), stdin=subprocess.DEVNULL)
        wait_for(self.is_ready, "registry-gw is ready")

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        with contextlib.closing(connection):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(LIMIT_S) == 0, self.log.read_text()[-4000:]

    def rss_kib(self):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(status.split("VmRSS:")[1].split()[0])

    def client(self, who):
        return RegistryClient(self, self.certreg.key(who))

    def token(self, token, **claims):
        """The issuer's own hand: the token of a good one with other claims."""
        head, body = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2])
        key = object.__new__(P256)
        key.file = self.folder / "issuer.pem"
        shutil.copy(self.certreg.signing_keys / "1700000000.pem", key.file)
        return key.jwt(head.pop("typ"), {**body, **claims}, kid=head["kid"])

    def member(self, who):
        """For the routes below /v1; here tokens are issued under another base URL than the gateway's."""
        token = self.certreg.token_answer(self.certreg.key(who), audience="registry-gw").json["access_token"]
        return Member(self, self.token(token, iss=self.base_url))

    def quota(self, who="acme-owner"):
        return self.member(who).ask("GET", "/v1/registry/quota").json

    def agent(self, sandbox, key):
        return RegistryClient(self, None, sandbox=sandbox, machine=key)


class Reply:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def oci(self):
        """code of the first error; every failure reads as the specification has it"""
        error, = self.json["errors"]
        assert set(error) == {"code", "message", "detail"}
        assert self.headers["Content-Type"] == "application/json"
        return error["code"]


class Member:
    def __init__(self, gateway, token):
        self.gateway, self.token, self.tenant = gateway, token, claims_of(token)["tenant"]

    def ask(self, method, path, body=None, etag=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers.update({"If-Match": etag} if etag else {})
        if body is not None:
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=LIMIT_S)) as connection:
            connection.request(method, path, body, {"Authorization": f"Bearer {self.token}", **headers})
            answer = Reply(connection.getresponse())
        traffic.record(method, path, body, answer.status, answer.headers, answer.body)
        return answer

    def images(self, **filters):
        answer = self.ask("GET", "/v1/images?" + urllib.parse.urlencode(filters))
        assert answer.status == 200, answer.body
        return answer.json["items"]

    def image(self, repository, **filters):
        found, = self.images(repository=repository.name, **filters)
        return found

    def rule(self):
        return self.ask("GET", "/v1/registry/rule").json

    def put_rule(self, mode="encrypted-only", recipients=(), signers=(), most=32):
        rule = {"mode": mode, "required_recipients": list(recipients), "signers": list(signers), "max_recipients": most}
        return self.ask("PUT", "/v1/registry/rule", rule, self.rule()["etag"])


class RegistryClient:
    """Speaks the protocol with tokens of exactly the scope that each call needs, unless it is given one."""

    def __init__(self, gateway, key, sandbox=None, machine=None):
        self.gateway, self.key, self.sandbox, self.machine = gateway, key, sandbox, machine

    def token(self, *scopes):
        if self.machine:
            answer = self.gateway.certreg.registry_form(assertion=self._assertion(), scope=" ".join(scopes))
        else:
            query = urllib.parse.urlencode([("service", "registry-gw"), *(("scope", scope) for scope in scopes)])
            basic = "Basic " + base64.b64encode(f"anybody:{self.key}".encode()).decode()
            answer = self.gateway.certreg.ask("GET", "/v1/registry-token?" + query, Authorization=basic)
        assert answer.status == 200, answer.body
        return answer.json["token"]

    def _assertion(self):
        return self.machine.jwt("strongroom-agent-assertion+jwt", {
            "iss": self.sandbox, "sub": self.sandbox, "aud": BASE_URL + "/v1/token", "iat": unix_now(),
            "exp": unix_now() + 50, "jti": b64url(secrets.token_bytes(12))})

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=LIMIT_S)

    def ask(self, method, path, body=None, scope=None, token=None, chunked=False, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is None and scope:
            token = self.token(scope)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is None and method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = "0"
        with contextlib.closing(self.connect()) as connection:
            with contextlib.suppress(BrokenPipeError):  # refused by its head: the answer is there all the same
                connection.request(method, path, iter([body]) if chunked else body, headers, encode_chunked=chunked)
            return Reply(connection.getresponse())

    def repository(self, name):
        return Repository(self, name)


class Repository:
    def __init__(self, client, name):
        self.client, self.name, self._tokens = client, name, {}

    def ask(self, method, path, body=None, actions=None, **more):
        actions = actions or {"GET": "pull", "HEAD": "pull", "DELETE": "pull,push,delete"}.get(method, "pull,push")
        if "blobs/uploads" in path:
            actions = "pull,push"
        if actions not in self._tokens:
            self._tokens[actions] = self.client.token(f"repository:{self.name}:{actions}")
        more.setdefault("token", self._tokens[actions])
        return self.client.ask(method, path if path.startswith("/") else f"/v2/{self.name}/{path}", body, **more)

    def open(self):
        answer = self.ask("POST", "blobs/uploads/")
        assert answer.status == 202, answer.body
        return answer.headers["Location"]

    def close(self, location, digest, body=None):
        return self.ask("PUT", f"{location}?digest={digest}", body)

    def push_blob(self, data):
        location = self.open()
        assert self.ask("PATCH", location, data).status == 202
        answer = self.close(location, sha256(data))
        assert answer.status == 201, answer.body
        return {"digest": sha256(data), "size": len(data)}

    def push_image(self, tag="v1", change=None):
        """skopeo's own encrypted image of tests/data; `change` may alter the manifest's text."""
        manifest = (VECTOR / "manifest.json").read_bytes()
        if change:
            manifest = change(manifest)
        self.push_blob((VECTOR / "layer.enc").read_bytes())
        return self.ask("PUT", f"manifests/{tag}", manifest, Content_Type=MANIFEST_TYPE), manifest

    def cut_upload(self, location, data, announced, token=None, method="PATCH", query=""):
        """Starts a PATCH of `announced` bytes and vanishes after `data`."""
        self.ask("GET", location)  # fetches the token
        token = token or self._tokens["pull,push"]
        connection = socket.create_connection(("127.0.0.1", self.client.gateway.port), LIMIT_S)
        length = f"Content-Length: {announced}" if announced else "Transfer-Encoding: chunked"
        connection.sendall(f"{method} {location}{query} HTTP/1.1\r\nHost: x\r\n{length}\r\n"
                           f"Authorization: Bearer {token}\r\n\r\n".encode())
        connection.sendall(data if announced else b"%x\r\n%b\r\n" % (len(data), data))
        return connection

    def offset(self, location):
        answer = self.ask("GET", location)
        assert answer.status == 204, (answer.status, answer.body)
        assert answer.headers["Location"] == location
        first, last = answer.headers["Range"].split("-")
        assert first == "0"
        return int(last) + 1 if int(last) else 0


@pytest.fixture(scope="module")
def gateway(postgres, redis):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(short_folder("sr-gw-"))
        crt_folder = stack.enter_context(short_folder("sr-crt-"))
        certreg = stack.enter_context(certreg_process(crt_folder, postgres, redis))
        registry = DockerRegistry(folder)
        registry.start()
        stack.callback(registry.kill)
        gateway = Gateway(folder, postgres, redis, certreg, registry)
        stack.callback(gateway.forwarder.close)
        gateway.start()
        token = gateway.client("acme-algo").token()
        wait_for(lambda: gateway.client("acme-algo").ask("GET", "/v2/", token=token).status == 200, "it knows who was revoked")
        try:
            yield gateway
            gateway.stop()
        finally:
            if gateway.process.poll() is None:
                gateway.kill()
        assert "Sanitizer" not in gateway.log.read_text()


@pytest.fixture(scope="module")
def owner(gateway):
    return gateway.member("acme-owner")


@pytest.fixture(scope="module")
def algo(gateway):
    return gateway.client("acme-algo")


@pytest.fixture
def repository(algo):
    return algo.repository("acme/c-" + secrets.token_hex(4))


def refused(answer, status, code):
    """The message of a refusal."""
    assert (answer.status, answer.oci) == (status, code), (answer.status, answer.body)
    return answer.json["errors"][0]["message"]


def problem(answer, status, code):
    assert (answer.status, answer.json.get("code")) == (status, code), (answer.status, answer.body)
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.json.get("detail")


def has_skopeo():
    return bool(shutil.which("skopeo"))


__all__ = ["INDEX_TYPE", "MANIFEST_TYPE", "VECTOR", "algo", "gateway", "has_skopeo", "owner", "problem", "refused",
           "repository", "sha256"]
