# SPDX-License-Identifier: Apache-2.0
"""Runs that need the grants of another tenant: who sees what, what they wait for, and that a run which was stopped by a
withdrawal was never handed to its sandbox, whatever dies in between. The agent in the real VM refuses what it is handed here
(the policies are about another agent): so `dispatched` is told from `refused` before by the run's events."""
import concurrent.futures
import os
import types

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from local_stack import problem, unique, wait_for
from peers import Orchestrator
from spaces import acme, globex, space  # noqa: F401 (fixtures)
from test_runs import cancel, until
from trust import World, b64url, digest, from_b64url

OURS = {"grant.withdrawn", "dataset.share_withdrawn", "approval.withdrawn", "approval.declined"}


class Machine:
    """The sandbox's key of encryption, as far as one who wraps to it needs one."""

    def __init__(self, jwk, thumbprint):
        x, y = (int.from_bytes(from_b64url(jwk[name]), "big") for name in ("x", "y"))
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        self.private, self.thumbprint = types.SimpleNamespace(public_key=lambda: public), thumbprint


@pytest.fixture(scope="module")
def sandbox(acme, space):
    claim = {"v": "strongroom-claim-1", "owner": acme.key.spki, "policy": None, "nonce": b64url(os.urandom(32))}
    made = acme.client.made("/v1/sandboxes", {"template": "small", "name": unique("box"), "claim": claim, "space": space})
    path = f"/v1/sandboxes/{made['id']}"
    yield wait_for(lambda: (it := acme.client.get(path).json())["state"] == "ready" and it, "a ready sandbox", 120)
    acme.client.delete(path)


class Case:
    """Acme runs what needs an image of globex's."""

    def __init__(self, acme, globex, space, sandbox, **changes):
        self.acme, self.globex, self.space, self.sandbox = acme, globex, space, sandbox
        self.world = World(space, **changes)
        self.world.enc = Machine(sandbox["enc_jwk"], thumbprint(sandbox["enc_jwk"]))
        self.world.sig = types.SimpleNamespace(thumbprint=thumbprint(sandbox["sig_jwk"]))
        self.world.policy["slots"]["image"]["owner"] = globex.key.spki
        self.policy = acme.client.made("/v1/policies", {"policy": self.world.policy, "approvals": [self.world.approval()]})
        self.pipeline = acme.client.made("/v1/pipelines", {
            "name": unique("pipe"), "template": "small", "policy": self.policy["id"]})["id"]
        self.order = acme.client.made("/v1/orders", {
            "policy": self.policy["id"], "order": self.world.order(), "grants": [self.world.grant("output")]})["id"]
        self.path = f"/v1/orders/{self.order}"

    def start(self):
        answer = self.acme.client.post("/v1/runs", {
            "pipeline": self.pipeline, "sandbox": self.sandbox["id"], "order": self.order, "space": self.space})
        assert answer.status_code == 202, answer.text
        self.run = answer.json()
        return self

    def waits(self):
        self.run = until(self.acme.client, self.run, "awaiting_grants")
        return self

    def release(self):
        return self.globex.client.post(f"{self.path}/grants", {"releases": [self.world.release("image", self.globex.key)]})

    def withdraw(self):
        return self.globex.client.delete(f"{self.path}/grants/image")

    def end(self):
        """(state, code, whether the sandbox ever had it)"""
        path = f"/v1/runs/{self.run['id']}"
        self.run = wait_for(lambda: (it := self.acme.client.get(path).json())["ended_at"] and it, "the run's end", 60)
        events = self.acme.client.get(f"{path}/events").json()["items"]
        return self.run["state"], self.run["failure"]["code"], any(event["state"] == "dispatched" for event in events)


def thumbprint(jwk):
    return b64url(bytes.fromhex(digest(b'{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' % (
        jwk["x"].encode(), jwk["y"].encode()))[7:]))


@pytest.fixture
def case(acme, globex, space, sandbox):
    made = Case(acme, globex, space, sandbox)
    yield made
    if hasattr(made, "run"):
        cancel(acme.client, made.run)


def test_a_run_waits_for_the_last_grant_and_goes_on(globex, case):
    case.start().waits()
    assert case.run["failure"]["code"] == "run.grants_missing" and "image" in case.run["failure"]["detail"]
    assert case.run["awaiting"] == [{"slot": "image", "owner": globex.key.spki}]
    assert case.release().status_code == 201
    state, code, dispatched = case.end()
    assert dispatched and state == "refused" and code not in OURS and case.run["awaiting"] == []
    problem(case.withdraw(), 409, "order.started")


def test_others_of_the_space_read_and_do_no_more(stack, acme, globex, case, sandbox, space):
    case.start().waits()
    path, box = f"/v1/runs/{case.run['id']}", f"/v1/sandboxes/{sandbox['id']}"
    shown = globex.client.get(path).json()
    assert (shown["space"], shown["tenant"]) == (space, acme.tenant["id"]) and shown["awaiting"] == case.run["awaiting"]
    assert globex.client.get(f"{path}/events").json()["items"]
    assert [item["id"] for item in globex.client.get(f"/v1/runs?order={case.order}").json()["items"]] == [shown["id"]]
    assert globex.client.get(box).json()["evidence"] == acme.client.get(box).json()["evidence"] != None
    assert sandbox["id"] in globex.client.get("/v1/sandboxes?page_size=200").text
    assert globex.client.post(f"{box}:attest", {}).status_code == 200
    body = {"order": case.order, "sandbox": sandbox["id"]}
    for answer, code in ((globex.client.post(f"{path}:cancel"), "run.not_found"),
                         (globex.client.post(f"{path}:order", body), "run.not_found"),
                         (globex.client.post(f"{box}:stop"), "sandbox.not_found"),
                         (globex.client.get(f"{box}/console"), "sandbox.not_found"), (globex.client.delete(box), "sandbox.not_found")):
        problem(answer, 404, code)
    for where, code in (("/v1/objects", "object.wrong_space"), ("/v1/sandboxes", "sandbox.wrong_space")):
        more = {"/v1/objects": {"role": "input"}, "/v1/sandboxes": {
            "template": "small", "claim": {"v": "strongroom-claim-1", "owner": acme.key.spki, "policy": None,
                                           "nonce": b64url(os.urandom(32))}}}[where]
        problem(globex.client.post(where, {**more, "space": acme.tenant["space"]}), 422, code)


def test_a_run_lies_in_its_orders_space(acme, case, space, sandbox):
    """Members of another one would learn whose grants it waits for."""
    body = {"pipeline": case.pipeline, "sandbox": sandbox["id"], "order": case.order}
    problem(acme.client.post("/v1/runs", {**body, "space": acme.tenant["space"]}), 422, "run.wrong_space")
    case.run = acme.client.made("/v1/runs", body)
    assert case.run["space"] == space


def test_max_runs_is_for_all_tenants_together(acme, globex, space, sandbox):
    case = Case(acme, globex, space, sandbox, max_runs=1).start()
    claim = {"v": "strongroom-claim-1", "owner": globex.key.spki, "policy": None, "nonce": b64url(os.urandom(32))}
    made = globex.client.made
    policy = made("/v1/policies", {"policy": case.world.policy, "approvals": [case.world.approval()]})["id"]
    box = made("/v1/sandboxes", {"template": "small", "name": unique("box"), "claim": claim})["id"]
    try:
        body = {"pipeline": made("/v1/pipelines", {"name": unique("pipe"), "template": "small", "policy": policy})["id"], "sandbox": box,
                "order": made("/v1/orders", {"policy": policy, "order": case.world.order(), "grants": [case.world.grant("output")]})["id"]}
        problem(globex.client.post("/v1/runs", body), 409, "run.max_runs")
    finally:
        cancel(acme.client, case.run)
        globex.client.delete(f"/v1/sandboxes/{box}")


def test_an_object_of_a_space_is_read_there_and_changed_at_home(acme, globex, space):
    made = globex.client.made("/v1/objects", {"role": "input", "space": space})
    path, data = f"/v1/objects/{made['id']}", b"sealed"
    problem(acme.client.ask("PATCH", path, data=data, headers={"Content-Range": f"0-{len(data) - 1}"}), 404, "object.not_found")
    assert globex.client.ask("PATCH", path, data=data, headers={"Content-Range": f"0-{len(data) - 1}"}).status_code == 202
    assert globex.client.ask("PUT", f"{path}?digest={digest(data)}").status_code == 201
    assert acme.client.get(path).content == data
    problem(acme.client.delete(path), 404, "object.not_found")
    assert globex.client.delete(path).status_code == 204


def test_a_grant_that_was_taken_back_stops_the_run(case):
    assert case.release().status_code == 201 and case.withdraw().status_code == 204
    assert case.start().end() == ("refused", "grant.withdrawn", False)


@pytest.mark.parametrize("decision, code, again", [
    ("withdraw", "approval.withdrawn", False), ("decline", "approval.declined", False), ("withdraw", "approval.withdrawn", True)])
def test_an_approval_that_was_taken_back_stops_the_run(acme, globex, space, sandbox, decision, code, again):
    case = Case(acme, globex, space, sandbox).start().waits()
    word = case.world.approval(decision=decision, reason="no longer")
    if again:
        answer = acme.client.post("/v1/policies", {"policy": case.world.policy, "approvals": [word]})
    else:
        answer = acme.client.post(f"/v1/policies/{case.policy['id']}/approvals", {"approval": word})
    assert answer.status_code in (200, 201), answer.text
    state, found, dispatched = case.end()
    assert (state, dispatched) == ("refused", False) and found in (code, "approval.withdrawn")
    problem(case.release(), 409, "order.blocked")


def test_a_share_that_was_taken_back_stops_the_run(acme, globex, space, sandbox):
    dataset = globex.client.made("/v1/datasets", {"name": unique("dst"), "direction": "input"})["id"]
    share = globex.client.made(f"/v1/datasets/{dataset}/shares", {"space": space})["id"]
    case = Case(acme, globex, space, sandbox, ports={"input": {"data": {"dataset": dataset}}})
    assert acme.client.get(case.path).json()["blocked"] is None
    case.start().waits()
    assert globex.client.delete(f"/v1/datasets/{dataset}/shares/{share}").status_code == 204
    assert case.end() == ("refused", "dataset.share_withdrawn", False)


def test_a_withdrawal_is_for_every_copy_of_the_policy(acme, globex, space, sandbox):
    """The approvals lie open in the space: another tenant takes them for a policy of his own, and leaves the last word out."""
    image = {**World(space).policy["image"], "repository": f"{globex.tenant['name']}/describe"}
    case = Case(acme, globex, space, sandbox, image=image)
    copy = globex.client.made("/v1/policies", {"policy": case.world.policy, "approvals": [case.world.approval()]})["id"]
    order = globex.client.made("/v1/orders", {"policy": copy, "order": case.world.order(), "grants": [case.world.grant("output")]})["id"]
    assert globex.client.get(f"/v1/orders/{order}").json()["blocked"] is None
    word = {"approval": case.world.approval(decision="withdraw")}
    assert acme.client.post(f"/v1/policies/{case.policy['id']}/approvals", word).status_code == 201
    assert globex.client.get(f"/v1/orders/{order}").json()["blocked"]["code"] == "approval.withdrawn"
    release = {"releases": [case.world.release("image", globex.key)]}
    problem(globex.client.post(f"/v1/orders/{order}/grants", release), 409, "order.blocked")


def test_withdrawal_and_dispatch_are_never_both(acme, globex, space, sandbox):
    ends = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for _ in range(4):
            case = Case(acme, globex, space, sandbox).start().waits()
            assert case.release().status_code == 201
            withdrawn = pool.submit(case.withdraw).result()
            state, code, dispatched = case.end()
            ends.append(withdrawn.status_code)
            if withdrawn.status_code == 204:
                assert (state, code, dispatched) == ("refused", "grant.withdrawn", False)
            else:
                problem(withdrawn, 409, "order.started")
                assert dispatched and code not in OURS
    assert set(ends) <= {204, 409}


@pytest.mark.parametrize("last", ["release", "withdraw"])
def test_the_same_when_the_orchestrator_is_killed_in_between(stack, case, last):
    case.start().waits()
    stack.kill("orchestrator")
    assert case.release().status_code == 201
    if last == "withdraw":
        assert case.withdraw().status_code == 204
    stack.command("up")
    state, code, dispatched = case.end()
    assert (state, dispatched) == ("refused", last == "release")
    assert (code == "grant.withdrawn") == (last == "withdraw")


def test_an_order_that_started_before_the_kill_is_dispatched_behind_it(stack, acme, case):
    """Killed between policy's word and its own row."""
    case.start().waits()
    stack.kill("orchestrator")
    assert case.release().status_code == 201
    said = Orchestrator(stack, "policy").ask("POST", f"/internal/v1/tenants/{acme.tenant['id']}/orders/{case.order}:start")
    assert said.json()["started_at"]
    problem(case.withdraw(), 409, "order.started")
    stack.command("up")
    state, code, dispatched = case.end()
    assert dispatched and code not in OURS
