# SPDX-License-Identifier: Apache-2.0
"""Egress at the agent: managed locations are fetched before the app starts and stored when it says so, over TLS to hosts that the
policy vouches for; direct is a proxy that leads to the policy's domains only; and the receipt tells of both."""
import base64
import contextlib
import hashlib
import json
import os
import socket
import subprocess
import threading

import pytest

import trust
from conftest import BUILD, ROOT
from object_store import ObjectStore
from test_agent import AS_ROOT, NO_JAIL, opened_output, pki, statement_of  # noqa: F401
from test_agent_app import AppSandbox
from test_second_way import SAID, TABLE, seal, shell, unseal  # noqa: F401
from trust import digest

pytestmark = [AS_ROOT, NO_JAIL]
SHELL = ROOT / "examples/second-way/shell/describe.sh"
IN, OUT = "/tables/rows.csv", "/answers/1"
DATASETS = {"input": "dst_0190f1c2000070008000000000000021", "output": "dst_0190f1c2000070008000000000000022"}


@pytest.fixture(scope="session")
def shops(tmp_path_factory):
    """Certificates for store.example by two CAs of their own: {name: (CA as PEM, certificate, key)}."""
    folder = tmp_path_factory.mktemp("shops")

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, cwd=folder, stderr=subprocess.DEVNULL, timeout=60)
    made = {}
    for name in ("ours", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                "-keyout", f"{name}.cakey", "-out", f"{name}.ca")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=store",
                "-addext", "subjectAltName=DNS:store.example", "-addext", "basicConstraints=critical,CA:FALSE",
                "-CA", f"{name}.ca", "-CAkey", f"{name}.cakey", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        made[name] = ((folder / f"{name}.ca").read_text(), folder / f"{name}.pem", folder / f"{name}.key")
    return made


@pytest.fixture
def store(shops):
    _, certificate, key = shops["ours"]
    with ObjectStore(certificate, key, name="store.example") as made:
        yield made


class EgressSandbox(AppSandbox):
    """A policy with one input and one output at the store."""

    def located(self, store, roots, script, mode="managed", queries=None, known=None, domains=(), **changes):
        world, self.keys = self.world, {"input": os.urandom(32), "output": os.urandom(32)}
        self.sealed = seal(self.keys["input"], TABLE)
        store.put(IN, self.sealed)
        self.queries = {"input": store.query(IN), "output": store.query(OUT, "PUT"), **(queries or {})}
        entries = {port: [{"slot": f"credentials/{port}/data", "port": port, "name": "data", "dataset": DATASETS[port], "version": 1,
                           "location": {"url": store.url(path)}, "credentials_version": 1}] for port, path in (("input", IN), ("output", OUT))}
        entries["input"][0]["digest"] = known
        for port, query in self.queries.items():
            slot = f"credentials/{port}/data"
            world.openings[slot] = trust.opening(slot, {"query_string": base64.b64encode(query.encode()).decode(),
                                                        "encryption": {"key": self.keys[port].hex()}})
        tree = {f"bin/{name}": "busybox" for name in ("mktemp", "sed", "base64", "awk", "tr", "head", "grep", "rm", "wc", "cmp", "tail")}
        self.prepare(script, tree={**tree, "bin/aes-gcm": (BUILD / "examples/aes-gcm").read_bytes()}, app=None)
        world.policy.update(inputs=entries["input"], outputs=entries["output"],
                            ports={port: {"data": {"dataset": DATASETS[port]}} for port in DATASETS},
                            egress={"mode": mode, "domains": list(domains), "roots": roots}, **changes)
        self.operator.reach.setdefault(f"store.example:{store.port}", ("127.0.0.1", store.port))
        return self

    def ended(self):
        """The app's files, and what the receipt says."""
        result = self.run(self.papers())
        assert "output" in result, result
        return opened_output(self, result), statement_of(result["receipt"], self.world.sig)["predicate"]

    def refusal(self):
        result = self.run(self.papers())
        assert "refusal" in result, result
        return result["refusal"]["code"]


@pytest.fixture
def sandbox(tmp_path, pki, shell):  # noqa: F811
    tmp_path.chmod(0o755)
    with EgressSandbox(tmp_path, pki) as made:
        yield made.enrolled()
        assert made.process.poll() is None, made.log.read_text()
        assert not made.operator.complaints, made.operator.complaints
        for query in made.queries.values():
            assert query not in made.log.read_text()


def test_an_app_that_knows_nothing(sandbox, store, shops):
    sandbox.located(store, [shops["ours"][0]], SHELL.read_text())
    files, receipt = sandbox.ended()
    assert json.loads(files["result.json"])["returncode"] == 0, files
    assert json.loads(unseal(sandbox.keys["output"], store.objects[OUT])) == {"returncode": 0, "stdout": SAID, "stderr": ""}
    assert store.asked == [("GET", IN, 200), ("PUT", OUT, 200)]
    assert [entry["digest"] for entry in receipt["inputs"] + receipt["outputs"]] == [digest(sandbox.sealed), digest(store.objects[OUT])]
    used, = receipt["egress"]
    assert used["target"] == f"store.example:{store.port}" and used["connections"] == 2
    assert used["bytes_in"] > len(sandbox.sealed) and used["bytes_out"] > len(store.objects[OUT])


def other_bytes(sandbox, store, shops):
    return sandbox.located(store, [shops["ours"][0]], "true", known=digest(b"others"))


def wrong_query(sandbox, store, shops):
    return sandbox.located(store, [shops["ours"][0]], "true", queries={"input": store.query(IN)[:-1] + "x"})


def other_ca(sandbox, store, shops):
    return sandbox.located(store, [shops["other"][0]], "true")


def public_ca(sandbox, store, _):
    return sandbox.located(store, None, "true")


def unreached(sandbox, store, shops):
    sandbox.located(store, [shops["ours"][0]], "true").operator.reach.clear()
    return sandbox


@pytest.mark.parametrize("spoil, code, asked", [
    (other_bytes, "input.digest", 1), (wrong_query, "egress.refused", 1), (other_ca, "egress.tls", 0), (public_ca, "egress.tls", 0),
    (unreached, "egress.address_refused", 0)])
def test_refused_before_the_app_starts(sandbox, store, shops, spoil, code, asked):
    assert spoil(sandbox, store, shops).refusal() == code
    assert len(store.asked) == asked and ("execute", "started") not in sandbox.steps()


def test_what_the_app_may_ask(sandbox, store, shops):
    script = """
        ask() { printf "$@" | nc 127.0.0.1 9093 | head -n 1; }
        ask 'GET /output/data HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'
        ask 'PUT /input/data HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 1\\r\\n\\r\\nx'
        ask 'GET /input/other HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'
        ask 'GET /input/data/../data HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'
        ask 'CONNECT store.example:443 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'
        ask 'nonsense\\r\\n\\r\\n'
        ask 'PUT /output/data?x=1 HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 2000000\\r\\n\\r\\n'
        ask 'PUT /output/data?x=1 HTTP/1.1\\r\\nHost: a\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n3\\r\\nabc\\r\\n2\\r\\nde\\r\\n0\\r\\n\\r\\n'
        wget -q -O /tmp/one http://127.0.0.1:9093/input/data; wget -q -O /tmp/two 'http://127.0.0.1:9093/input/data?any=thing'
        cmp /tmp/one /tmp/two && wc -c </tmp/two
        cat /opt/fortanix/enclave-os/app-config/rw/input/data/dataset/credentials.bin
    """
    sandbox.located(store, [shops["ours"][0]], script)
    sandbox.world.policy["limits"]["output_bytes"] = 1 << 20
    files, receipt = sandbox.ended()
    *answers, size, credentials = files["stdout"].decode().splitlines()
    assert [line.split()[1] for line in answers] == ["405", "405", "404", "404", "400", "400", "413", "200"], answers
    assert int(size) == len(sandbox.sealed)
    assert base64.b64decode(json.loads(credentials)["query_string"]) == b"managed=1"
    assert store.objects[OUT] == b"abcde" and receipt["outputs"][0]["digest"] == digest(b"abcde")
    assert [row[:2] for row in store.asked] == [("GET", IN), ("PUT", OUT)]


def test_a_store_that_refuses_what_was_put(sandbox, store, shops):
    script = "printf 'PUT /output/data HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 1\\r\\n\\r\\nx' | nc 127.0.0.1 9093 | head -n 1"
    sandbox.located(store, [shops["ours"][0]], script, queries={"output": store.query(OUT, "GET")})
    files, receipt = sandbox.ended()
    assert files["stdout"].split()[1] == b"502" and OUT not in store.objects
    assert receipt["outputs"][0]["digest"] == "sha256:" + hashlib.sha256(b"x").hexdigest()  # the location has seen it


class Echo:
    """A TCP server that gives back what comes first, behind a greeting."""

    def __init__(self):
        self.listener, self.heard = socket.create_server(("127.0.0.1", 0)), []
        self.address = self.listener.getsockname()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            near, _ = self.listener.accept()
            with near, contextlib.suppress(OSError):
                near.sendall(b"hello\n")
                data = near.recv(65536)
                self.heard.append(data)
                near.sendall(data)


def test_direct(sandbox, store):
    echo = Echo()
    sandbox.operator.reach["approved.example:443"] = echo.address
    script = """
        ask() { printf "$@" | nc 127.0.0.1 9094; }
        echo $HTTPS_PROXY $https_proxy
        ask 'CONNECT other.example:443 HTTP/1.1\\r\\nHost: other.example:443\\r\\n\\r\\n' | head -n 1
        ask 'CONNECT approved.example:80 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' | head -n 1
        ask 'GET http://approved.example/ HTTP/1.1\\r\\nHost: approved.example\\r\\n\\r\\n' | head -n 1
        ask 'CONNECT approved.example:443 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\nGET / HTTP/1.1\\r\\n\\r\\n' | head -n 1
        late() {
            printf 'CONNECT approved.example:443 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'
            until grep -q established /tmp/said; do :; done
            printf 'GET / HTTP/1.1\\r\\n\\r\\n'
        }
        : >/tmp/said
        late | nc 127.0.0.1 9094 >/tmp/said; grep -o 'HTTP/1.1 ...' /tmp/said; grep -c egress.plain_http /tmp/said
        ask 'CONNECT approved.example:443 HTTP/1.0\\r\\n\\r\\n\\026early ' | tail -n 2; echo
        cat /opt/fortanix/enclave-os/app-config/rw/output/data/dataset/location.txt
    """
    sandbox.located(store, None, script, "direct", domains=["approved.example:443"])
    sandbox.world.policy["process"]["env"]["https_proxy"] = "http://elsewhere"
    files, receipt = sandbox.ended()
    lines = files["stdout"].decode().splitlines()
    assert lines[0] == "http://127.0.0.1:9094 http://127.0.0.1:9094"
    assert [line.split()[1] for line in lines[1:7]] == ["403", "403", "403", "403", "200", "403"]
    assert lines[7:] == ["1", "hello", "\x16early ", store.url(OUT)]
    assert [data for data in echo.heard if data] == [b"\x16early "]
    assert receipt["egress"] == [{"target": "approved.example:443", "bytes_in": 13, "bytes_out": 7, "connections": 2}]
    assert [entry["digest"] for entry in receipt["inputs"] + receipt["outputs"]] == [None, None]
    assert sandbox.operator.tunnels == 2 * ["approved.example:443"]
