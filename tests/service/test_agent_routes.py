# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's routes for agents, asked by an agent of our own with real tokens and proofs: what holds a run (its fence,
its sandbox, its machine key) and what a result must prove. policy and provisioner are stand-ins that answer from tables."""
import base64
import contextlib
import copy
import hashlib
import json
import os
import signal
import subprocess
import time

import pytest

from certreg_stack import BASE_URL, Answer, P256, Peer, UnixConnection, certreg_process, is_problem, openssl, unix_now
from conftest import BUILD, LIMIT_S, short_folder, wait_for
from local_stack import unique
from trust import Key, World, b64url, digest, jcs, nonce


def new_id(prefix):
    text = os.urandom(16).hex()
    return f"{prefix}_{text[:12]}7{text[13:16]}8{text[17:]}"


class Orchestrator:
    """The program beside a certreg, in its folder of peers."""

    program = BUILD / "bin/strongroom-orchestrator"

    def __init__(self, folder, certreg, **rows):
        self.folder, self.certreg, self.process = folder, certreg, None
        self.socket, self.conf, self.log = folder / "orc.sock", folder / "orc.conf", folder / "log"
        self.policy = Peer(folder / "policy.sock")
        runtime, owner = certreg.postgres.make_roles("orchestrator")
        certreg.postgres.drop_schema("orchestrator")
        key = P256(folder / "service.pem")
        (certreg.folder / "peers/orchestrator.pem").write_bytes(openssl("pkey", "-in", key.file, "-pubout"))
        self.conf.write_text("".join(f"{name} = {value}\n" for name, value in {
            "listen": f"unix:{self.socket}", "base_url": BASE_URL, "database": runtime, "migrate_database": owner,
            "redis": certreg.redis.address, "service_key": key.file, "peers_dir": certreg.folder / "peers",
            "certreg_url": f"unix:{certreg.socket}", "provisioner_url": f"unix:{certreg.folder}/provisioner.sock",
            "policy_url": f"unix:{folder}/policy.sock", "objects_dir": folder / "objects", "log_level": "info", **rows}.items()))
        subprocess.run([self.program, "--config", self.conf, "--migrate"], check=True, timeout=60)

    def start(self):
        self.process = subprocess.Popen([self.program, "--config", self.conf], stdin=subprocess.DEVNULL,
                                        stderr=open(self.log, "a"))
        wait_for(lambda: self.ask("GET", "/readyz").status == 200, "the orchestrator is ready")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(LIMIT_S)
        self.policy.close()
        assert status == 0 and "Sanitizer" not in self.log.read_text(), self.log.read_text()[-4000:]

    def ask(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        with contextlib.closing(UnixConnection(self.socket)) as connection:
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())

    def member(self, who):
        token = self.certreg.client(who, audience="orchestrator").token
        return lambda method, path, body=None, **headers: self.ask(method, path, body, Authorization=f"Bearer {token}",
                                                                   **headers)


class Agent:
    """One boot of a sandbox: machine keys, token, a proof per request."""

    audience = "orchestrator"

    def __init__(self, orchestrator, claims, boot=1):
        self.orchestrator, self.id, self.boot, self.seq = orchestrator, new_id("sbx"), boot, 0
        self.enc, self.sig = Key("enc"), Key("sig")
        self.record = {"id": self.id, "tenant": claims["tenant"], "space": claims["space"], "state": "ready", "boot": boot,
                       "sig_jwk": self.sig.jwk, "enc_jwk": self.enc.jwk, "sig": self.sig.thumbprint,
                       "enc": self.enc.thumbprint}
        table = orchestrator.certreg.provisioner.table
        table[f"/internal/v1/sandboxes/{self.id}"] = self.record
        table[f"/internal/v1/tenants/{claims['tenant']}/sandboxes/{self.id}"] = self.record
        now = unix_now()
        answer = orchestrator.certreg.token_request(
            grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", audience=self.audience,
            assertion=self.jwt({"typ": "strongroom-agent-assertion+jwt"}, {
                "iss": self.id, "sub": self.id, "aud": f"{BASE_URL}/v1/token", "iat": now, "exp": now + 60, "jti": nonce()}))
        assert answer.status == 200, answer.body
        self.token = answer.json["access_token"]

    def jwt(self, header, claims):
        text = f"{b64url(jcs({'alg': 'ES256', **header}))}.{b64url(jcs(claims))}"
        return f"{text}.{b64url(self.sig.sign(text.encode()))}"

    def credentials(self, method, path):
        jwk = {name: self.sig.jwk[name] for name in ("kty", "crv", "x", "y")}
        proof = self.jwt({"typ": "dpop+jwt", "jwk": jwk}, {
            "htm": method, "htu": BASE_URL + path.partition("?")[0], "iat": unix_now(), "jti": nonce(),
            "ath": b64url(hashlib.sha256(self.token.encode()).digest())})
        return {"Authorization": f"DPoP {self.token}", "DPoP": proof}

    def ask(self, method, path, body=None, **headers):
        return self.orchestrator.ask(method, path, body, **self.credentials(method, path), **headers)

    def event(self, run, fence, step="verify"):
        self.seq += 1
        return self.ask("POST", f"/v1/agent/runs/{run}/events",
                        {"fence": fence, "seq": self.seq, "step": step, "state": "started"})

    def output(self, run, fence, data):
        made = self.ask("POST", "/v1/agent/objects", {"role": "output", "run": run, "fence": fence})
        if made.status != 201:
            return made
        path = f"/v1/agent/objects/{made.json['id']}"
        assert self.ask("PATCH", path, data, Content_Range=f"0-{len(data) - 1}").status == 202
        assert self.ask("PUT", f"{path}?digest={digest(data)}").status == 201
        return made


class Run:
    """A run that an agent works on; `policy` and `ordered` change its policy and its order before."""

    def __init__(self, orchestrator, client, until="dispatched", who="acme-algo", policy=None, **ordered):
        self.claims, self.member = client.claims, orchestrator.member(who)
        self.agent, self.world = Agent(orchestrator, client.claims), World(client.claims["space"], **(policy or {}))
        pipeline, order = new_id("pip"), new_id("ord")
        tables, base = orchestrator.policy.table, f"/internal/v1/tenants/{client.claims['tenant']}"
        tables[f"{base}/pipelines/{pipeline}"] = {"id": pipeline, "policy_hash": self.world.hash}
        tables[f"{base}/orders/{order}"] = tables[f"{base}/orders/{order}:start"] = {
            "id": order, "space": client.claims["space"], "policy_hash": self.world.hash, "run_nonce": self.world.run_nonce,
            "document": jcs(self.world.policy).decode(), "approvals": [self.world.approval()], "order": {}, "grants": [], "constraints": [],
            "enc": self.agent.enc.thumbprint, "sig": self.agent.sig.thumbprint, **ordered}
        answer = self.member("POST", "/v1/runs", {"pipeline": pipeline, "sandbox": self.agent.id, "order": order})
        assert answer.status == 202, answer.body
        self.id = answer.json["id"]
        wait_for(lambda: self.state() == until, f"the run is {until}")
        self.fence = self.show()["fence"]

    def show(self):
        return self.member("GET", f"/v1/runs/{self.id}").json

    def state(self):
        return self.show()["state"]

    def running(self):
        assert self.agent.event(self.id, self.fence).status == 204
        assert self.state() == "running"
        return self

    def receipt(self, data, key=None, **changes):
        """What the agent would sign for that output (proto/README.md)."""
        key, now, zero = key or self.agent.sig, int(time.time()), digest(b"")
        predicate = {
            "policy": self.world.hash, "run_nonce": self.world.run_nonce, "run": self.id, "fence": self.fence,
            "space": self.claims["space"], "sandbox": self.agent.id, "boot_id": "boot", "class": "none", "evidence": zero,
            "initdata": zero, "claim": zero, "enc": self.agent.enc.thumbprint, "sig": key.thumbprint,
            "output_size": len(data), "image": {"manifest": zero, "config": zero}, "inputs": [], "outputs": [],
            "commitments": {"image": zero, "output": zero}, "egress": [], "exit_code": 0, "signal": 0, "limits_hit": [],
            "recipients": [zero], "measurements": {}, "log_head": None, "started": now, "ended": now, **changes}
        body = jcs({"_type": "https://in-toto.io/Statement/v1", "predicateType": "urn:strongroom:receipt:v1",
                    "subject": [{"name": "output", "digest": {"sha256": hashlib.sha256(data).hexdigest()}}],
                    "predicate": predicate})
        kind = "application/vnd.in-toto+json"
        signed = b"DSSEv1 %d %s %d " % (len(kind), kind.encode(), len(body)) + body
        return {"payloadType": kind, "payload": base64.b64encode(body).decode(),
                "signatures": [{"keyid": key.thumbprint, "sig": base64.b64encode(key.sign(signed)).decode()}]}

    def result(self, made, data, agent=None, **changes):
        body = {"fence": self.fence, "output": {"object": made, "digest": digest(data), "size": len(data)},
                "receipt": self.receipt(data), **changes}
        return (agent or self.agent).ask("POST", f"/v1/agent/runs/{self.id}/result", body)


@pytest.fixture(scope="module")
def orchestrator(postgres, redis):
    with short_folder("sr-crt-") as crt, short_folder("sr-orc-") as folder, certreg_process(crt, postgres, redis) as certreg:
        running = Orchestrator(folder, certreg)
        running.start()
        yield running
        running.stop()


@pytest.fixture
def run(orchestrator):
    return Run(orchestrator, orchestrator.certreg.client("acme-algo"))


def test_run_to_its_end(run):
    work = run.agent.ask("GET", "/v1/agent/work").json
    assert work["run"]["id"] == run.id and work["run"]["fence"] == run.fence and work["policy"] == jcs(run.world.policy).decode()
    run.running()
    data = os.urandom(1000)
    made = run.agent.output(run.id, run.fence, data).json["id"]
    assert run.result(made, data).status == 200
    shown = run.show()
    assert shown["state"] == "succeeded" and shown["output"] == {"object": made, "digest": digest(data), "size": 1000}
    assert run.result(made, data).status == 200
    assert run.member("GET", f"/v1/objects/{made}").body == data


def test_who_knows_no_revocations_is_not_ready(orchestrator):
    alone = copy.copy(orchestrator)
    alone.socket, alone.conf = orchestrator.folder / "alone.sock", orchestrator.folder / "alone.conf"
    alone.conf.write_text(orchestrator.conf.read_text().replace(f"unix:{orchestrator.socket}", f"unix:{alone.socket}").replace(
        f"unix:{orchestrator.certreg.socket}", f"unix:{orchestrator.folder}/nobody.sock"))
    alone.process = subprocess.Popen([alone.program, "--config", alone.conf], stdin=subprocess.DEVNULL, stderr=open(alone.log, "a"))
    try:
        wait_for(lambda: alone.ask("GET", "/healthz").status == 200, "it answers")
        answer = alone.ask("GET", "/readyz")
        assert (answer.status, answer.json["code"]) == (503, "auth.epoch_stale")
    finally:
        alone.process.terminate()
        assert alone.process.wait(LIMIT_S) == 0


def test_another_fence_holds_nothing(run):
    for fence in (run.fence - 1, run.fence + 1):
        is_problem(run.agent.event(run.id, fence), 409, "run.stale_fence")
    run.running()
    data = b"output"
    is_problem(run.agent.output(run.id, run.fence + 1, data), 409, "run.stale_fence")
    made = run.agent.output(run.id, run.fence, data).json["id"]
    is_problem(run.result(made, data, fence=run.fence - 1), 409, "run.stale_fence")
    is_problem(run.result(made, data, fence=run.fence + 1), 409, "run.stale_fence")
    assert run.state() == "running"


def test_an_agent_learns_that_its_run_was_cancelled(run):
    run.running()
    path = f"/v1/agent/runs/{run.id}"
    assert run.agent.ask("GET", path).json == {"id": run.id, "fence": run.fence, "state": "running"}
    assert run.member("POST", f"/v1/runs/{run.id}:cancel").status == 202
    assert run.agent.ask("GET", path).json == {"id": run.id, "fence": run.fence + 1, "state": "cancelled"}


def test_sandbox_that_started_anew_lost_its_run(run):
    run.running()
    run.agent.record["boot"] = 2
    wait_for(lambda: run.state() == "awaiting_grants", "the run waits for grants")
    is_problem(run.agent.event(run.id, run.fence), 409, "run.stale_fence")
    assert run.show()["failure"]["code"] == "run.sandbox_lost"


def test_other_sandboxes_agents_have_no_part_in_it(orchestrator, run):
    run.running()
    data = b"output"
    made = run.agent.output(run.id, run.fence, data).json["id"]
    other = Agent(orchestrator, run.claims)
    assert other.ask("GET", "/v1/agent/work").status == 204
    is_problem(other.ask("GET", f"/v1/agent/runs/{run.id}"), 404, "run.not_found")
    is_problem(other.event(run.id, run.fence), 404, "run.not_found")
    is_problem(other.output(run.id, run.fence, data), 404, "run.not_found")
    is_problem(run.result(made, data, agent=other), 404, "run.not_found")
    is_problem(other.ask("GET", f"/v1/agent/objects/{made}"), 404, "object.not_found")
    assert run.state() == "running"


def test_agent_reads_the_inputs_of_its_run_only(orchestrator, run):
    made = run.member("POST", "/v1/objects", {"role": "input"}).json["id"]
    path = f"/v1/objects/{made}"
    assert run.member("PATCH", path, b"rows", Content_Range="0-3").status == 202
    assert run.member("PUT", f"{path}?digest={digest(b'rows')}").status == 201
    is_problem(run.agent.ask("GET", f"/v1/agent/objects/{made}"), 404, "object.not_found")
    run.world.policy["inputs"] = [{"slot": "input/rows", "object": made}]
    orchestrator.certreg.postgres.sql("UPDATE orchestrator.run SET inputs = %s WHERE id = %s",
                                      json.dumps(run.world.policy["inputs"]), run.id)
    assert run.agent.ask("GET", f"/v1/agent/objects/{made}").body == b"rows"


def test_agent_has_no_part_in_an_earlier_output_of_its_sandbox(orchestrator, run):
    """Neither in one of the same run under an earlier fence, nor in one of a run that is over."""
    sql = orchestrator.certreg.postgres.sql
    run.running()
    data = b"output"
    earlier, made = (run.agent.output(run.id, run.fence, data).json["id"] for _ in range(2))
    path = f"/v1/agent/objects/{earlier}"
    assert run.agent.ask("GET", path).body == data
    sql("UPDATE orchestrator.object SET fence = fence - 1, state = 'open' WHERE id = %s", earlier)
    for method in ("GET", "HEAD", "PATCH", "PUT"):
        assert run.agent.ask(method, path, *([b"x"] if method == "PATCH" else [])).status == 404, method
    is_problem(run.agent.ask("GET", path), 404, "object.not_found")
    path = f"/v1/agent/objects/{made}"
    assert run.agent.ask("GET", path).body == data
    assert run.result(made, data).status == 200
    is_problem(run.agent.ask("GET", path), 404, "object.not_found")
    assert run.member("GET", f"/v1/objects/{made}").body == data


def test_only_who_opened_an_upload_writes_to_it(orchestrator, run):
    path = "/v1/objects/" + run.member("POST", "/v1/objects", {"role": "input"}).json["id"]
    colleague = orchestrator.member("acme-owner")
    is_problem(colleague("PATCH", path, b"theirs", Content_Range="0-5"), 404, "object.not_found")
    is_problem(colleague("PUT", f"{path}?digest={digest(b'')}"), 404, "object.not_found")
    assert run.member("HEAD", path).headers["Upload-Offset"] == "0"


@pytest.mark.parametrize("change, code", [
    (lambda run, data: {"receipt": run.receipt(data, key=Key())}, "receipt.wrong_key"),
    (lambda run, data: {"receipt": run.receipt(data, sig=Key().thumbprint)}, "receipt.wrong_key"),
    (lambda run, data: {"receipt": forged(run.receipt(data))}, "receipt.signature"),
    (lambda run, data: {"receipt": run.receipt(data + b"x")}, "receipt.wrong_output"),
    (lambda run, data: {"receipt": run.receipt(data, output_size=1)}, "receipt.wrong_output"),
    (lambda run, data: {"receipt": run.receipt(data, policy=digest(b"other"))}, "receipt.wrong_policy"),
    (lambda run, data: {"receipt": run.receipt(data, run_nonce=nonce())}, "receipt.wrong_run"),
    (lambda run, data: {"receipt": run.receipt(data, more=1)}, "receipt.invalid"),
])
def test_result_that_its_receipt_does_not_prove(run, change, code):
    run.running()
    data = b"output"
    made = run.agent.output(run.id, run.fence, data).json["id"]
    answer = run.result(made, data, **change(run, data))
    is_problem(answer, 400 if code == "receipt.invalid" else 422, code)
    assert run.state() == "running" and run.show()["receipt"] is None


def forged(receipt):
    signature = base64.b64decode(receipt["signatures"][0]["sig"])
    receipt["signatures"][0]["sig"] = base64.b64encode(signature[:-1] + bytes([signature[-1] ^ 1])).decode()
    return receipt


def test_output_of_another_run_is_none(orchestrator, run):
    run.running()
    other = Run(orchestrator, orchestrator.certreg.client("acme-algo")).running()
    data = b"output"
    made = other.agent.output(other.id, other.fence, data).json["id"]
    is_problem(run.result(made, data), 422, "run.wrong_output")
    is_problem(run.result(new_id("obj"), data), 404, "object.not_found")
    is_problem(run.agent.ask("POST", f"/v1/agent/runs/{run.id}/result", {"fence": run.fence}), 400, "run.no_result")
    assert run.state() == "running"


def test_refusal_ends_a_run_with_its_reason(run):
    answer = run.agent.ask("POST", f"/v1/agent/runs/{run.id}/result", {
        "fence": run.fence, "refusal": {"code": "approval.missing", "detail": "nobody approved " + unique("it")}})
    assert answer.status == 200
    shown = run.show()
    assert shown["state"] == "refused" and shown["failure"]["code"] == "approval.missing"


@pytest.mark.parametrize("key", ["enc", "sig"])
def test_order_for_other_machine_keys_is_not_dispatched(orchestrator, key):
    run = Run(orchestrator, orchestrator.certreg.client("acme-algo"), "awaiting_grants", **{key: Key().thumbprint})
    assert run.show()["failure"]["code"] == "run.other_machine_keys"
    assert run.agent.ask("GET", "/v1/agent/work").status == 204


@pytest.mark.parametrize("member", ["space", "policy_hash", "run_nonce", "document"])
def test_no_run_of_an_order_without_a_part(orchestrator, run, member):
    order = next(value for path, value in orchestrator.policy.table.items() if path.endswith(f"/orders/{run.show()['order']}"))
    part = order.pop(member)
    body = {"pipeline": run.show()["pipeline"], "sandbox": run.agent.id, "order": order["id"]}
    is_problem(run.member("POST", "/v1/runs", body), 502, "run.order_incomplete")
    order[member] = part


@pytest.mark.parametrize("member", ["document", "approvals", "order", "grants", "constraints"])
def test_order_without_a_part_is_an_error_not_no_work(orchestrator, run, member):
    order = next(value for path, value in orchestrator.policy.table.items() if path.endswith(f"/orders/{run.show()['order']}"))
    part = order.pop(member)
    is_problem(run.agent.ask("GET", "/v1/agent/work"), 502, "run.order_incomplete")
    assert run.id in next(line for line in orchestrator.log.read_text().splitlines() if "run.order_incomplete" in line and run.id in line)
    order[member] = part
    assert run.agent.ask("GET", "/v1/agent/work").json["run"]["id"] == run.id
