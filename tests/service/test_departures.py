# SPDX-License-Identifier: Apache-2.0
"""A tenant that leaves a space, or is taken out of it, takes its part with it: what it ordered there does not start, and what
it shared there is shared no more. What had started goes on."""
import pytest

from local_stack import problem, unique, wait_for
from peers import Orchestrator, orchestrator  # noqa: F401 (fixtures)
from spaces import acme, found_together, globex, invite, join  # noqa: F401 (fixtures)
from test_lent_images import Lent, blocked
from trust import World


@pytest.fixture
def space(acme, globex):
    return found_together(acme, globex)["id"]


def ordered(party, space):
    world = World(space, f"{party.tenant['name']}/app")
    policy = party.client.made("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})
    order = party.client.made("/v1/orders", {"policy": policy["id"], "order": world.order(), "grants": world.grants()})
    return f"/internal/v1/tenants/{party.tenant['id']}/orders/{order['id']}"


def take_out(founder, space, party):
    assert founder.client.delete(f"/v1/spaces/{space}/members/{party.tenant['id']}").status_code == 204
    party.client.tokens.clear()


@pytest.mark.parametrize("by", ["itself", "the founder"])
def test_who_left_starts_nothing_there(acme, globex, space, orchestrator, by):
    orders = [ordered(globex, space) for _ in range(2)]
    others, own = ordered(acme, space), ordered(globex, globex.tenant["space"])
    started = orchestrator.ask("POST", f"{orders[0]}:start").json()["started_at"]
    take_out(globex if by == "itself" else acme, space, globex)
    refused = orchestrator.ask("POST", f"{orders[1]}:start").json()
    assert (refused["started_at"], refused["blocked"]["code"]) == (None, "policy.wrong_space")
    assert orchestrator.get(orders[1]).json()["blocked"] == refused["blocked"]
    again = orchestrator.ask("POST", f"{orders[0]}:start").json()
    assert again["started_at"] == started and again["blocked"] is None
    for order in others, own:
        assert orchestrator.ask("POST", f"{order}:start").json()["started_at"]


def test_an_image_is_lent_by_members_only(acme, globex, space, orchestrator):
    order = Lent(acme, globex, space).approve().share().order()
    take_out(acme, space, globex)
    orchestrator.ask("POST", f"{order}:start")
    assert blocked(orchestrator, order) == "image.not_shared"


def test_what_was_shared_is_seen_no_more(acme, globex, space):
    data = globex.client.made("/v1/datasets", {"name": unique("data"), "direction": "input"})
    path = f"/v1/datasets/{data['id']}"
    globex.client.made(f"{path}/shares", {"space": space})
    kept = acme.client.made("/v1/datasets", {"name": unique("data"), "direction": "input"})
    acme.client.made(f"/v1/datasets/{kept['id']}/shares", {"space": space})
    assert acme.client.get(path).status_code == 200
    take_out(globex, space, globex)
    wait_for(lambda: acme.client.get(path).status_code == 404, "the share to end", 20)
    problem(acme.client.get(path), 404, "dataset.not_found")
    assert globex.client.get(f"{path}/shares").json()["items"] == [] and globex.client.get(path).status_code == 200
    assert len(acme.client.get(f"/v1/datasets/{kept['id']}/shares").json()["items"]) == 1


def test_a_certreg_that_forgot_who_joined_ends_no_share(stack, acme, globex, space, orchestrator):
    """As one that was restored from a backup: no departure is told, so none is believed."""
    data = globex.client.made("/v1/datasets", {"name": unique("data"), "direction": "input"})
    globex.client.made(f"/v1/datasets/{data['id']}/shares", {"space": space})
    who = "WHERE space_id = %s AND tenant_id = %s"
    stack.sql(f"WITH gone AS (DELETE FROM certreg.space_member {who}) DELETE FROM certreg.space_joined {who}",
              *(space, globex.tenant["id"]) * 2)
    assert orchestrator.ask("POST", f"{ordered(acme, space)}:start").json()["started_at"]  # which looks who is there
    assert acme.client.get(f"/v1/datasets/{data['id']}").status_code == 200


def test_who_came_back_shares_again(acme, globex, space, orchestrator):
    take_out(acme, space, globex)
    founded = acme.client.get(f"/v1/spaces/{space}").json()
    _, signed, hashed = invite(acme, founded, globex.key.spki)
    join(globex, founded, signed, hashed)
    wait_for(lambda: globex.client.tokens.clear() or globex.client.get(f"/v1/policies?space={space}").status_code == 200,
             "a token that is younger than the departure", 20)
    data = globex.client.made("/v1/datasets", {"name": unique("data"), "direction": "input"})
    globex.client.made(f"/v1/datasets/{data['id']}/shares", {"space": space})
    assert orchestrator.ask("POST", f"{ordered(globex, space)}:start").json()["started_at"]
    assert acme.client.get(f"/v1/datasets/{data['id']}").status_code == 200


def test_who_is_in_a_space_is_told_to_policy_only(stack, space):
    problem(Orchestrator(stack, "certreg").get(f"/internal/v1/spaces/{space}/tenants"), 403, "auth.scope_missing")
