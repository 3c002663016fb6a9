# SPDX-License-Identifier: Apache-2.0
"""The http backend that tofu keeps its state in: who may ask, its lock, what is stored, and what is not there for others."""
import hashlib
import hmac
import http.client
import json
import os
import socket
import uuid

import pytest
import requests

from local_stack import LocalStack, wait_for

STATE = {"version": 4, "serial": 1, "lineage": "a", "outputs": {"password": {"value": "hunter2"}}}


@pytest.fixture(scope="module")
def private():
    os.environ["TOFU"] = "/bin/false"  # never started here
    try:
        with LocalStack() as running:
            yield running
    finally:
        del os.environ["TOFU"]


class Backend:
    """One sandbox's state as its current run sees it."""

    def __init__(self, stack, run=1):
        self.stack, self.run, self.id = stack, run, "sbx_" + uuid.uuid4().hex
        self.port = (stack.folder / "etc/tofu-port").read_text().strip()
        tenant = stack.sql("SELECT tenant_id FROM certreg.tenant LIMIT 1")[0][0]
        stack.sql("""INSERT INTO provisioner.sandbox (tenant_id, space_id, id, name, template_id, template_version, driver,
            parameters, state, claim, initdata, created_by, vcpus, memory_mib, weight, run_at)
            VALUES (%s, 'spc', %s, 'n', 't', 1, 'tofu', '{}', 'stopped', '{}', '{}', 'm', 1, 1, 1, 'infinity')""", tenant, self.id)
        stack.sql("INSERT INTO provisioner.tofu (tenant_id, sandbox_id, run) VALUES (%s, %s, %s)", tenant, self.id, run)

    def password(self, run):
        secret = (self.stack.folder / "keys/tofu-state.key").read_bytes()
        key = hmac.digest(secret, b"strongroom-tofu-password-1", hashlib.sha256)
        return hmac.new(key, f"{self.id} {run}".encode(), hashlib.sha256).hexdigest()

    def ask(self, method, body=None, run=None, query="", auth=True, **more):
        run = run or self.run
        session = requests.Session()
        session.trust_env = False
        return session.request(method, f"http://127.0.0.1:{self.port}/tofu/{self.id}{query}", timeout=60,
                               json=body, auth=(str(run), self.password(run)) if auth is True else auth, **more)

    def lock(self, name="one", **more):
        return self.ask("LOCK", {"ID": name, "Operation": "OperationTypeApply", "Who": "root@host"}, **more)

    def stored(self):
        return self.stack.sql("SELECT serial, state FROM provisioner.tofu WHERE sandbox_id = %s", self.id)[0]


@pytest.fixture
def backend(private):
    return Backend(private)


def test_state_comes_back_and_is_encrypted_at_rest(private, backend):
    assert backend.ask("GET").status_code == 204
    assert backend.lock().status_code == 200
    assert backend.ask("POST", STATE, query="?ID=one").status_code == 200
    assert backend.ask("GET").json() == STATE
    serial, stored = backend.stored()
    assert serial == 1 and "hunter2" not in stored and "version" not in stored
    assert backend.ask("UNLOCK", {"ID": "one"}).status_code == 200
    dump = (private.folder / "log/provisioner.log").read_text()
    assert "hunter2" not in dump and backend.password(1) not in dump


def test_state_of_another_sandbox_or_serial_does_not_open(private, backend):
    other = Backend(private)
    for one in (backend, other):
        one.lock()
        assert one.ask("POST", STATE, query="?ID=one").status_code == 200
    private.sql("UPDATE provisioner.tofu SET state = %s WHERE sandbox_id = %s", other.stored()[1], backend.id)
    assert backend.ask("GET").status_code == 500
    private.sql("UPDATE provisioner.tofu SET serial = 2 WHERE sandbox_id = %s", other.id)
    assert other.ask("GET").status_code == 500


def test_only_the_holder_writes(backend):
    assert backend.ask("POST", STATE).status_code == 409
    assert backend.lock("one").status_code == 200
    held = backend.lock("two")
    assert (held.status_code, held.json()["ID"], held.json()["Who"]) == (423, "one", "root@host")
    assert backend.lock("one").status_code == 200  # the same once more: its answer was lost
    assert backend.ask("POST", STATE, query="?ID=two").json()["code"] == "tofu.not_the_holder"
    assert backend.ask("POST", STATE, query="?ID=one").status_code == 200
    assert backend.ask("UNLOCK", {"ID": "two"}).status_code == 409
    assert backend.ask("UNLOCK", {"ID": "one"}).status_code == 200
    assert backend.lock("two").status_code == 200


def test_older_state_does_not_replace_a_newer_one(backend):
    backend.lock()
    assert backend.ask("POST", {**STATE, "serial": 5}, query="?ID=one").status_code == 200
    assert backend.ask("POST", {**STATE, "serial": 4}, query="?ID=one").status_code == 409
    assert backend.ask("POST", {**STATE, "serial": 5}, query="?ID=one").status_code == 200
    assert backend.ask("GET").json()["serial"] == 5


def test_lock_ends_with_its_run_and_its_silence(private, backend):
    assert backend.lock("one").status_code == 200
    private.sql("UPDATE provisioner.tofu SET lock_until = now() WHERE sandbox_id = %s", backend.id)
    assert backend.lock("two").status_code == 200
    private.sql("UPDATE provisioner.tofu SET run = 2 WHERE sandbox_id = %s", backend.id)
    assert backend.lock("three", run=2).status_code == 200
    for old in (backend.lock("two"), backend.ask("GET"), backend.ask("POST", STATE, query="?ID=two"),
                backend.ask("UNLOCK", {"ID": "two"}), backend.ask("DELETE")):
        assert old.status_code in (403, 409), old.text
    assert backend.ask("POST", STATE, query="?ID=three", run=2).status_code == 200


def test_deleted_only_while_nobody_holds_it(backend):
    backend.lock()
    backend.ask("POST", STATE, query="?ID=one")
    assert backend.ask("DELETE").status_code == 409
    backend.ask("UNLOCK", {"ID": "one"})
    assert backend.ask("DELETE").status_code == 200
    assert backend.ask("GET").status_code == 204


@pytest.mark.parametrize("auth", [None, ("1", ""), ("1", "0" * 64), ("0", "0" * 64), ("x", "y"), ("-1", "0" * 64),
                                  ("99999999999999999999", "0" * 64)])
def test_strangers_get_nothing(backend, auth):
    for method, body in (("GET", None), ("POST", STATE), ("LOCK", {"ID": "one"}), ("UNLOCK", {"ID": "one"}), ("DELETE", None)):
        answer = backend.ask(method, body, auth=auth)
        assert (answer.status_code, answer.json()["code"]) == (401, "tofu.denied")


def test_password_is_of_one_sandbox_and_one_run(private, backend):
    other = Backend(private)
    assert backend.ask("GET", auth=("1", other.password(1))).status_code == 401
    assert backend.ask("GET", auth=("2", backend.password(1))).status_code == 401
    assert backend.ask("GET", run=2).status_code == 403  # a good password of a run that is not current


@pytest.mark.parametrize("body", [[], {}, {"version": 4}, {"version": 4, "serial": "1"}, {"version": 4, "serial": -1},
                                  {"version": "4", "serial": 1}, 7])
def test_what_is_no_state_is_not_stored(backend, body):
    backend.lock()
    assert backend.ask("POST", body, query="?ID=one").json()["code"] == "tofu.bad_state"
    assert backend.stored() == (0, None)


def test_size_is_capped(backend):
    backend.lock()
    fits = {**STATE, "more": "x" * (2 << 20 >> 1)}
    assert backend.ask("POST", fits, query="?ID=one").status_code == 200
    assert backend.ask("POST", {**STATE, "more": "x" * (2 << 20)}, query="?ID=one").status_code == 413
    assert backend.ask("GET").json() == fits


def test_listener_has_these_routes_only_and_the_edge_has_none_of_them(private, backend):
    there = f"http://127.0.0.1:{backend.port}"
    for path in ("/v1/templates", "/healthz", "/readyz", "/metrics", "/internal/v1/sandboxes/" + backend.id, "/"):
        assert requests.get(there + path, timeout=60).status_code == 404, path
    connection = http.client.HTTPConnection("localhost", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(private.sockets / "provisioner/http.sock"))
    connection.request("GET", f"/tofu/{backend.id}")
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (404, "request.no_route")
    connection.close()


def test_another_key_file_opens_nothing(private, backend):
    backend.lock()
    backend.ask("POST", STATE, query="?ID=one")
    file = private.folder / "keys/tofu-state.key"
    kept = file.read_bytes()
    try:
        file.write_bytes(b"short")
        wait_for(lambda: backend.ask("GET").status_code == 500, "the short key to be refused", 20)
        file.write_bytes(b"another one that is long enough, all of it")
        assert backend.ask("GET").status_code == 500  # authentic caller, but the state is of another key
    finally:
        file.write_bytes(kept)
    assert backend.ask("GET").json() == STATE
