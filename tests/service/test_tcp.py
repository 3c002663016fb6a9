# SPDX-License-Identifier: Apache-2.0
"""Services on several machines: TCP with mutual TLS between them, and a start in any order."""
import contextlib
import http.client
import json
import signal
import ssl
import subprocess

import pytest

from certreg_stack import P256, Certreg, openssl
from conftest import BUILD, LIMIT_S, short_folder, wait_for
from registry_stack import free_port

NAMES = "subjectAltName=DNS:localhost"


class Authority:
    """A CA for the parts, and a certificate for each, by their common names."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        key = P256(folder / "ca.key")
        (folder / "ca.pem").write_text(key.certificate("parts", "-addext", "keyUsage=critical,keyCertSign", ca="TRUE"))
        (folder / "names").write_text(NAMES)

    def files(self, name):
        key, cert = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        if not cert.exists():
            P256(key)
            request = openssl("req", "-new", "-key", key, "-subj", f"/CN={name}")
            cert.write_bytes(openssl("x509", "-req", "-days", 1, "-CA", self.folder / "ca.pem", "-CAkey",
                                     self.folder / "ca.key", "-extfile", self.folder / "names", data=request))
        return cert, key

    def rows(self, name):
        cert, key = self.files(name)
        return {"tls_cert": cert, "tls_key": key, "tls_peer_ca": self.folder / "ca.pem"}

    def ask(self, name, port, path):
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        context.load_cert_chain(*self.files(name))
        with contextlib.closing(http.client.HTTPSConnection("localhost", port, context=context, timeout=LIMIT_S)) as way:
            way.request("GET", path)
            answer = way.getresponse()
            return answer.status, answer.read()


class Service:
    """policy on TCP."""

    def __init__(self, folder, postgres, redis, rows):
        self.folder, self.port, self.conf = folder, free_port(), folder / "policy.conf"
        runtime, owner = postgres.make_roles("policy")
        postgres.drop_schema("policy")
        P256(folder / "policy-service.pem")
        self.conf.write_text("".join(f"{name} = {value}\n" for name, value in {
            "listen": f"tcp:127.0.0.1:{self.port}", "database": runtime, "migrate_database": owner, "redis": redis.address,
            "service_key": folder / "policy-service.pem", "peers_dir": folder / "peers", "start_wait": "120s",
            "base_url": "https://strongroom.test", **rows}.items()))
        self.log = open(folder / "policy.log", "w")

    def start(self, *arguments):
        self.process = subprocess.Popen([BUILD / "bin/strongroom-policy", "--config", self.conf, *arguments], stderr=self.log,
                                        stdin=subprocess.DEVNULL)
        return self.process

    def text(self):
        return (self.folder / "policy.log").read_text()

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(LIMIT_S) == 0, self.text()


@pytest.fixture
def parts(postgres, redis):
    """certreg (not started) and policy (made), with the CA of both."""
    with short_folder("sr-tcp-") as folder:
        authority, certreg = Authority(folder / "pki"), Certreg(folder, postgres, redis)
        certreg.make()
        certreg.port = free_port()
        url = {"certreg_url": f"https://localhost:{certreg.port}"}
        rows = {**url, **authority.rows("certreg"), "listen": f"tcp:127.0.0.1:{certreg.port}"}
        kept = [line for line in certreg.conf.read_text().splitlines() if line.split(" ")[0] not in rows]
        certreg.conf.write_text("\n".join(kept + [f"{name} = {value}" for name, value in rows.items()]) + "\n")
        certreg.is_ready = lambda: is_ready(authority, certreg.process, certreg.port)
        policy = Service(folder, postgres, redis, {**url, **authority.rows("policy")})
        yield authority, certreg, policy
        policy.close()
        certreg.close()


def is_ready(authority, process, port):
    assert process.poll() is None
    try:
        return authority.ask("probe", port, "/readyz")[0] == 200
    except OSError:
        return False


def test_parts_find_each_other_in_any_order(parts):
    """policy first, then its tables, then certreg."""
    authority, certreg, policy = parts
    policy.start()
    wait_for(lambda: "db.schema_old" in policy.text(), "policy waits for its tables")
    assert policy.process.poll() is None
    served, migrated = policy.process, policy.start("--migrate").wait(LIMIT_S)
    policy.process = served
    assert migrated == 0, policy.text()
    certreg.start()
    wait_for(lambda: is_ready(authority, policy.process, policy.port), "policy is ready")


def test_who_may_ask_for_what(parts):
    authority, certreg, policy = parts
    assert policy.start("--migrate").wait(LIMIT_S) == 0
    certreg.start()
    policy.start()
    wait_for(lambda: is_ready(authority, policy.process, policy.port), "policy is ready")
    for name, path, status, code in (
            ("edge", "/v1/policies", 401, "auth.missing"), ("edge", "/internal/v1/feed", 403, "edge.wrong_peer"),
            ("certreg", "/v1/policies", 403, "edge.wrong_peer"), ("certreg", "/internal/v1/feed", 401, "auth.missing")):
        answer = authority.ask(name, policy.port, path)
        assert (answer[0], json.loads(answer[1])["code"]) == (status, code)
    assert authority.ask("policy", certreg.port, "/internal/v1/auth-state")[0] == 200
    assert authority.ask("edge", certreg.port, "/internal/v1/auth-state")[0] == 403
