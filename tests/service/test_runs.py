# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's runs at the edge of a real stack, up to where a sandbox would have to have the ordered keys: what waits,
what is refused, what others see. Runs to their end are tests/e2e's."""
import concurrent.futures
import hashlib
import os
import time
import uuid

import pytest
import requests
from cryptography.hazmat.primitives import serialization

from local_stack import Client, problem, unique, wait_for
from trust import Key, World, b64url, digest, jcs

LIMIT_S = 60
ABSENT = {"pipeline": "pip_" + "0" * 32, "order": "ord_" + "0" * 32, "sandbox": "sbx_" + "0" * 32}


@pytest.fixture(scope="module")
def sandbox(stack):
    """One VM for all: its machine keys are never those of an order here."""
    client = stack.client("acme-owner")
    claim = {"v": "strongroom-claim-1", "owner": digest(b"somebody"), "policy": None, "nonce": b64url(os.urandom(32))}
    record = client.made("/v1/sandboxes", {"template": "small", "name": unique("box"), "claim": claim})
    yield record["id"]
    client.delete(f"/v1/sandboxes/{record['id']}")


class Case:
    """A policy with a pipeline, and orders for it."""

    def __init__(self, client, **changes):
        self.client, self.world = client, World(client.space(), **changes)
        self.policy = client.made("/v1/policies", {"policy": self.world.policy, "approvals": [self.world.approval()]})
        self.pipeline = client.made("/v1/pipelines", {"name": unique("pipe"), "template": "small",
                                                      "policy": self.policy["id"]})["id"]

    def order(self):
        self.world.run_nonce = b64url(os.urandom(32))
        return self.client.made("/v1/orders", {"policy": self.policy["id"], "order": self.world.order(),
                                               "grants": self.world.grants()})["id"]

    def run(self, sandbox, key=None, **changes):
        return self.client.post("/v1/runs", {"pipeline": self.pipeline, "sandbox": sandbox, "order": self.order(),
                                             **changes}, key)


@pytest.fixture
def case(owner):
    return Case(owner)


@pytest.fixture
def run(owner, case, sandbox):
    answer = case.run(sandbox)
    assert answer.status_code == 202, answer.text
    yield answer.json()
    cancel(owner, answer.json())


def cancel(client, run):
    answer = client.post(f"/v1/runs/{run['id']}:cancel")
    assert answer.status_code == 202, answer.text
    return answer.json()


def until(client, run, state):
    end, path = time.monotonic() + LIMIT_S, f"/v1/runs/{run['id']}"
    while run["state"] != state:
        assert time.monotonic() < end, run
        answer = client.get(f"{path}?wait=10s", headers={"If-None-Match": run["etag"]})
        run = answer.json() if answer.status_code == 200 else run
    return run


def test_run_waits_for_grants_and_goes_on_by_another_order(owner, case, run, sandbox):
    waiting = until(owner, run, "awaiting_grants")
    assert waiting["failure"]["code"] in ("run.sandbox_not_ready", "run.other_machine_keys")
    assert waiting["policy_hash"] == case.policy["hash"] and waiting["fence"] > run["fence"]
    path, order = f"/v1/runs/{run['id']}:order", case.order()
    again = owner.post(path, {"order": order, "sandbox": sandbox})
    assert again.status_code == 202, again.text
    assert (again.json()["order"], again.json()["run_nonce"]) == (order, case.world.run_nonce)
    assert owner.post(path, {"order": order, "sandbox": sandbox}).status_code == 202  # the same order again
    until(owner, again.json(), "awaiting_grants")
    other = Case(owner).order()
    problem(owner.post(path, {"order": other, "sandbox": sandbox}), 422, "order.wrong_policy")


def test_cancelled_run_is_over(owner, run):
    path = f"/v1/runs/{run['id']}"
    cancelled = cancel(owner, run)
    assert (cancelled["state"], cancelled["failure"]["code"]) == ("cancelled", "run.cancelled")
    assert cancelled["ended_at"] and cancelled["receipt"] is None and cancelled["output"] is None
    again = owner.post(f"{path}:cancel")
    assert again.status_code == 202 and again.json() == cancelled
    problem(owner.post(f"{path}:order", {"order": ABSENT["order"], "sandbox": ABSENT["sandbox"]}), 409, "run.not_waiting")


def test_events_come_as_a_list_and_as_a_stream(owner, run):
    path = f"/v1/runs/{run['id']}/events"
    until(owner, run, "awaiting_grants")
    cancel(owner, run)
    events = owner.get(path).json()["items"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["state"] == "cancelled"
    assert owner.get(f"{path}?after={events[0]['id']}").json()["items"] == events[1:]
    problem(owner.get(f"{path}?after=x"), 400, "page.bad_token")
    with owner.ask("GET", path, headers={"Accept": "text/event-stream", "Last-Event-ID": "0"}, stream=True) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        ids = [int(line[3:]) for line in answer.iter_lines(decode_unicode=True) if line.startswith("id:")]
    assert ids == [event["id"] for event in events]


def test_a_revoked_key_loses_its_stream_and_its_wait(stack, owner, run):
    """Within the services' next look at the issuer, far before the stream or the wait would end."""
    until(owner, run, "awaiting_grants")
    shown = uuid.uuid4().hex
    text = f"sr_{shown}_{b64url(os.urandom(32))}"
    key = owner.post("/v1/keys", {"name": unique("key"), "id": f"key_{shown}", "hash": digest(text.encode())})
    assert key.status_code == 201, key.text
    client, waiter, path = Client(stack, text), Client(stack, text), f"/v1/runs/{run['id']}"
    etag = waiter.get(path).headers["ETag"]
    with client.ask("GET", f"{path}/events", headers={"Accept": "text/event-stream"}, stream=True) as stream, \
            concurrent.futures.ThreadPoolExecutor() as pool:
        lines = stream.iter_lines(decode_unicode=True)
        assert next(line for line in lines if line.startswith("event: "))
        waiting = pool.submit(waiter.get, f"{path}?wait=60s", headers={"If-None-Match": etag})
        assert owner.delete(f"/v1/keys/key_{shown}", etag="*").status_code == 200
        assert [line for line in lines if line.startswith("event: ")][-1] == "event: auth.revoked"
        problem(waiting.result(), 401, "auth.revoked")


def test_run_is_made_once(owner, case, sandbox, run):
    assert run["id"] in problem(case.run(sandbox), 409, "run.sandbox_busy")["detail"]
    cancel(owner, run)
    problem(case.run(sandbox, order=run["order"]), 409, "run.order_used")
    key, order = str(uuid.uuid4()), case.order()
    first = case.run(sandbox, key, order=order)
    again = case.run(sandbox, key, order=order)
    assert first.json()["id"] == again.json()["id"] and again.headers["Idempotent-Replayed"] == "true"
    listed = owner.get("/v1/runs?page_size=200").json()["items"]
    assert [item["id"] for item in listed].count(first.json()["id"]) == 1
    cancel(owner, first.json())
    cancelled = {item["id"] for item in owner.get("/v1/runs?state=cancelled&page_size=200").json()["items"]}
    assert {run["id"], first.json()["id"]} <= cancelled


def test_max_runs_is_a_limit(owner, sandbox):
    case = Case(owner, max_runs=1)
    first = case.run(sandbox).json()
    cancel(owner, first)
    problem(case.run(sandbox), 409, "run.max_runs")


def test_parts_must_be_there_and_fit(owner, case, sandbox):
    problem(case.run(sandbox, pipeline=ABSENT["pipeline"]), 404, "pipeline.not_found")
    problem(case.run(sandbox, order=ABSENT["order"]), 404, "order.not_found")
    problem(case.run(ABSENT["sandbox"]), 404, "sandbox.not_found")
    problem(case.run("../x"), 404, "sandbox.not_found")
    problem(case.run(sandbox, order=Case(owner).order()), 422, "order.wrong_policy")
    problem(case.run(sandbox, more=1), 400, "json.invalid_fields")


def test_others_neither_see_nor_change(stack, owner, stranger, case, run, sandbox):
    path = f"/v1/runs/{run['id']}"
    body = {"order": run["order"], "sandbox": sandbox}
    for answer in (stranger.get(path), stranger.get(f"{path}/events"), stranger.post(f"{path}:cancel"),
                   stranger.post(f"{path}:order", body)):
        problem(answer, 404, "run.not_found")
    assert run["id"] not in stranger.get("/v1/runs").text
    problem(Case(stranger).run(sandbox), 404, "sandbox.not_found")
    auditor = stack.client("acme-audit")
    assert auditor.get(path).json()["id"] == run["id"]
    for answer in (auditor.post(f"{path}:cancel"), auditor.post(f"{path}:order", body),
                   auditor.post("/v1/runs", {"pipeline": run["pipeline"], **body})):
        problem(answer, 403, "auth.role_missing")


def test_agents_routes_are_not_for_members(owner, run):
    for method, path in (("GET", "/v1/agent/work"), ("POST", f"/v1/agent/runs/{run['id']}/events"),
                         ("POST", f"/v1/agent/runs/{run['id']}/result"), ("POST", "/v1/agent/objects")):
        answer = owner.http.request(method, owner.stack.url + path, json={} if method == "POST" else None,
                                    headers={"Authorization": f"Bearer {owner.token('orchestrator')}"})
        assert answer.status_code == 401, answer.text


# --- a token outlives its boot by minutes ---

def compact(key, header, claims):
    text = f"{b64url(jcs({'alg': 'ES256', **header}))}.{b64url(jcs(claims))}"
    return f"{text}.{b64url(key.sign(text.encode()))}"


class OldAgent:
    """What an agent could say, with a token as certreg makes them, by certreg's own key."""

    def __init__(self, stack, sandbox, boot):
        self.stack, self.sig, issuer = stack, Key(), Key()
        issuer.private = serialization.load_pem_private_key(next((stack.folder / "keys/token-signing").glob("*.pem")).read_bytes(), None)
        tenant = stack.client("acme-owner").get("/v1/tenants/self").json()
        now = int(time.time())
        self.token = compact(issuer, {"typ": "strongroom-agent+jwt", "kid": issuer.thumbprint}, {
            "iss": stack.url, "aud": "orchestrator", "sub": sandbox, "boot": boot, "tenant": tenant["id"],
            "tenant_name": tenant["name"], "space": tenant["space"], "cnf": {"jkt": self.sig.thumbprint},
            "iat": now, "exp": now + 300, "jti": uuid.uuid4().hex})

    def ask(self, method, path, body=None):
        url = self.stack.url + path
        proof = compact(self.sig, {"typ": "dpop+jwt", "jwk": {name: self.sig.jwk[name] for name in ("kty", "crv", "x", "y")}}, {
            "htm": method, "htu": url, "iat": int(time.time()), "jti": uuid.uuid4().hex,
            "ath": b64url(hashlib.sha256(self.token.encode()).digest())})
        return requests.request(method, url, json=body, verify=self.stack.ca, timeout=60,
                                headers={"Authorization": f"DPoP {self.token}", "DPoP": proof})


@pytest.fixture
def dispatched(stack, owner, case, sandbox, run):
    """The run as if it were handed to the sandbox's boot; the real agent finds that it was ordered for another machine."""
    box = wait_for(lambda: (it := owner.get(f"/v1/sandboxes/{sandbox}").json())["state"] == "ready" and it, "a ready sandbox", 120)
    until(owner, run, "awaiting_grants")
    stack.sql("UPDATE orchestrator.run SET state = 'dispatched', boot = %s WHERE id = %s", box["boot"], run["id"])
    return owner.get(f"/v1/runs/{run['id']}").json(), box["boot"]


def test_agent_of_an_old_boot_has_no_say(stack, owner, sandbox, dispatched):
    run, boot = dispatched
    event = {"fence": run["fence"], "seq": 1, "step": "verify", "state": "started"}
    refusal = {"fence": run["fence"], "refusal": {"code": "agent.replayed", "detail": "said by another boot"}}
    new_object = {"role": "output", "run": run["id"], "fence": run["fence"]}
    events, result = f"/v1/agent/runs/{run['id']}/events", f"/v1/agent/runs/{run['id']}/result"
    now, old = OldAgent(stack, sandbox, boot), OldAgent(stack, sandbox, boot - 1)
    assert now.ask("GET", "/v1/agent/work").status_code == old.ask("GET", "/v1/agent/work").status_code == 204
    problem(old.ask("POST", events, event), 404, "run.not_found")
    assert now.ask("POST", events, event).status_code == 204
    for wrong in ({**event, "step": "dance"}, {**event, "state": "maybe"}):
        problem(now.ask("POST", events, {**wrong, "seq": 2}), 400, "run.bad_event")
    problem(old.ask("POST", "/v1/agent/objects", new_object), 404, "run.not_found")
    assert now.ask("POST", "/v1/agent/objects", new_object).status_code == 201
    problem(old.ask("POST", result, refusal), 404, "run.not_found")
    assert owner.get(f"/v1/runs/{run['id']}").json()["state"] == "running"
    assert now.ask("POST", result, refusal).status_code == 200
    assert owner.get(f"/v1/runs/{run['id']}").json()["state"] == "refused"
