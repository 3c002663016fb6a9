# SPDX-License-Identifier: Apache-2.0
"""Orders whose secrets belong to several tenants: who sees them, who gives a grant, who takes one back, and until when."""
import concurrent.futures

import pytest

from local_stack import problem
from peers import orchestrator  # noqa: F401 (fixtures)
from spaces import acme, found, globex, space  # noqa: F401 (fixtures)
from trust import Key, World, b64url, digest, nonce


class Ordered:
    """Acme orders what needs an image of globex's."""

    def __init__(self, acme, globex, space):
        self.acme, self.globex, self.world = acme, globex, World(space)
        self.world.policy["slots"]["image"]["owner"] = globex.key.spki
        policy = acme.client.made("/v1/policies", {"policy": self.world.policy, "approvals": [self.world.approval()]})
        self.body = {"policy": policy["id"], "order": self.world.order(), "grants": [self.world.grant("output")]}
        self.policy, self.id = policy, acme.client.made("/v1/orders", self.body)["id"]
        self.path = f"/v1/orders/{self.id}"
        self.inside = f"/internal/v1/tenants/{acme.tenant['id']}/orders/{self.id}"

    def release(self, *changed, by=None):
        releases = changed or [self.world.release("image", self.globex.key)]
        return (by or self.globex).client.post(f"{self.path}/grants", {"releases": list(releases)})

    def withdraw(self, slot="image", by=None):
        return (by or self.globex).client.delete(f"{self.path}/grants/{slot}")


@pytest.fixture
def ordered(acme, globex, space):
    return Ordered(acme, globex, space)


def test_the_owner_of_a_slot_gives_its_grant_later(acme, globex, orchestrator, ordered):
    shown = acme.client.get(ordered.path).json()
    assert shown["missing"] == [{"slot": "image", "owner": globex.key.spki}] and not shown["withdrawn"] and not shown["blocked"]
    assert globex.client.get(ordered.path).json() == shown
    assert (shown["run_nonce"], shown["policy_hash"]) == (ordered.world.run_nonce, ordered.world.hash)
    inside = orchestrator.get(ordered.inside).json()
    assert inside["missing"] == shown["missing"] and len(inside["grants"]) == 1
    started = orchestrator.ask("POST", f"{ordered.inside}:start").json()
    assert started["started_at"] is None and started["missing"] == shown["missing"]
    first = ordered.release()
    assert first.status_code == 201 and first.json()["missing"] == [] and first.json()["etag"] != shown["etag"]
    last = ordered.world.release("image", globex.key)
    assert ordered.release(last).status_code == 201  # again, because the answer was lost
    inside = orchestrator.get(ordered.inside).json()
    assert inside["missing"] == [] and len(inside["grants"]) == 2 and last["grant"] in inside["grants"]
    assert orchestrator.ask("POST", f"{ordered.inside}:start").json()["started_at"]


def test_the_runners_own_slots_come_with_the_order(acme, ordered):
    ordered.world.run_nonce = b64url(bytes(32))
    body = {**ordered.body, "order": ordered.world.order(), "grants": []}
    problem(acme.client.post("/v1/orders", body), 422, "grant.missing")


def test_nobody_fills_anothers_slot(acme, globex, space):
    """What lies in a slot its owner could not replace; so nothing does that he did not sign for."""
    ordered = Ordered(acme, globex, space)
    ordered.world.run_nonce = nonce()
    body = {**ordered.body, "order": ordered.world.order(), "grants": ordered.world.grants()}
    problem(acme.client.post("/v1/orders", body), 422, "grant.not_the_owner")
    ordered.path = f"/v1/orders/{acme.client.made('/v1/orders', {**body, 'grants': body['grants'][1:]})['id']}"
    assert ordered.release().status_code == 201


@pytest.mark.parametrize("wrong, code", [
    (lambda o: o.world.release("image", o.world.author), "release.not_the_owner"),
    (lambda o: o.world.release("output", o.globex.key), "release.not_the_owner"),
    (lambda o: o.world.release("image", Key()), "release.not_the_owner"),
    (lambda o: o.world.release("image", o.globex.key, spki=Key().spki), "trust.spki_mismatch"),
    (lambda o: {**o.world.release("image", o.globex.key), "grant": o.world.grant("image")}, "release.wrong_grant"),
    (lambda o: o.world.release("image", o.globex.key, run_nonce=b64url(bytes(32))), "release.wrong_grant"),
    (lambda o: o.world.release("image", o.globex.key, o.world.grant("image", run_nonce=b64url(bytes(32)))), "grant.wrong_run"),
    (lambda o: o.world.release("image", o.globex.key, o.world.grant("image", policy=digest(b"x"))), "grant.wrong_policy"),
    (lambda o: o.world.release("image", o.globex.key, o.world.grant("image", kid=Key("enc").thumbprint)), "grant.wrong_key"),
    (lambda o: o.world.release("image", o.globex.key, o.world.grant("image", slot="input/other")), "grant.wrong_slot"),
    (lambda o: {"grant": o.world.grant("image"), "release": o.world.order()}, "trust.envelope"),
])
def test_a_release_that_does_not_hold(ordered, wrong, code):
    problem(ordered.release(wrong(ordered)), 400 if code == "trust.envelope" else 422, code)
    assert ordered.globex.client.get(ordered.path).json()["missing"] != []


def test_a_release_has_both_parts(ordered):
    whole = ordered.world.release("image", ordered.globex.key)
    for part in whole:
        problem(ordered.release({part: whole[part]}), 400, "json.invalid_fields")
    problem(ordered.release(whole, whole), 422, "grant.twice")
    problem(ordered.globex.client.post(f"{ordered.path}/grants", {"releases": []}), 400, "release.none")


def test_who_is_not_in_the_space_sees_no_order(acme, globex):
    ordered = Ordered(acme, globex, found_alone(acme))
    for answer in (globex.client.get(ordered.path), ordered.release(), ordered.withdraw()):
        problem(answer, 404, "order.not_found")


def found_alone(party):
    space = found(party)["id"]
    party.client.tokens.clear()
    return space


def test_a_grant_is_taken_back_before_the_start(acme, globex, orchestrator, ordered):
    problem(ordered.withdraw(), 404, "grant.not_found")
    assert ordered.release().status_code == 201
    problem(ordered.withdraw(by=acme), 404, "grant.not_found")  # somebody else's
    assert ordered.withdraw().status_code == 204
    assert ordered.withdraw().status_code == 204
    shown = acme.client.get(ordered.path).json()
    assert shown["withdrawn"] == ["image"] and shown["blocked"]["code"] == "grant.withdrawn"
    inside = orchestrator.ask("POST", f"{ordered.inside}:start").json()
    assert inside["started_at"] is None and inside["blocked"]["code"] == "grant.withdrawn" and len(inside["grants"]) == 1
    problem(ordered.release(), 409, "order.blocked")


def test_what_has_started_keeps_its_grants(orchestrator, ordered):
    assert ordered.release().status_code == 201
    started = orchestrator.ask("POST", f"{ordered.inside}:start").json()
    assert started["started_at"] and len(started["grants"]) == 2
    problem(ordered.withdraw(), 409, "order.started")
    problem(ordered.release(), 409, "order.started")
    assert orchestrator.ask("POST", f"{ordered.inside}:start").json()["started_at"] == started["started_at"]


def test_start_and_withdrawal_are_never_both(acme, globex, space, orchestrator):
    ends = set()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for turn in range(12):
            ordered = Ordered(acme, globex, space)
            assert ordered.release().status_code == 201
            asked = [lambda: orchestrator.ask("POST", f"{ordered.inside}:start"), ordered.withdraw]
            both = [pool.submit(one) for one in (asked if turn % 2 else asked[::-1])]
            start, withdrawal = (both if turn % 2 else both[::-1])
            started, answer = start.result().json()["started_at"], withdrawal.result()
            assert (started is None) == (answer.status_code == 204), answer.text
            ends.add(answer.status_code)
    assert ends <= {204, 409}


def test_a_withdrawal_stays_in_no_row(stack, ordered):
    assert ordered.release().status_code == 201 and ordered.withdraw().status_code == 204
    assert stack.sql("SELECT jwe FROM policy.run_grant WHERE order_id = %s AND slot = 'image'", ordered.id) == [("",)]
