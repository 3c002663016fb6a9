# SPDX-License-Identifier: Apache-2.0
"""Policies in a space that two tenants share: both read them, only their own tenant does more; who leaves sees them no longer."""
import pytest

from local_stack import problem, unique, wait_for
from spaces import acme, found, found_together, globex  # noqa: F401 (fixtures)
from trust import World, digest


@pytest.fixture
def space(acme, globex):
    return found_together(acme, globex)["id"]


def submit(party, world):
    return party.client.post("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})


def listed(party, query=""):
    """Ids of the whole list, page by page."""
    ids, token = [], ""
    while token is not None:
        page = party.client.get(f"/v1/policies?page_size=3{token}{query}").json()
        ids += [item["id"] for item in page["items"]]
        token = page["next_page_token"] and "&page_token=" + page["next_page_token"]
    assert ids == sorted(set(ids), reverse=True)
    return ids


def test_a_policy_is_read_by_the_tenants_of_its_space(acme, globex, space):
    world, private = World(space), World(acme.tenant["space"])
    record, hidden = submit(acme, world).json(), submit(acme, private).json()
    assert (record["space"], record["tenant"]) == (space, acme.tenant["id"])
    shown = globex.client.get(f"/v1/policies/{record['id']}")
    assert shown.status_code == 200 and shown.json() == acme.client.get(f"/v1/policies/{record['id']}").json()
    assert shown.json()["approvals"] == record["approvals"] != []
    problem(globex.client.get(f"/v1/policies/{hidden['id']}"), 404, "policy.not_found")


def test_lists_are_of_all_spaces_or_of_one(acme, globex, space):
    shared = [submit(party, World(space)).json()["id"] for party in (acme, globex, acme, globex)]
    own, others = submit(globex, World(globex.tenant["space"])).json()["id"], submit(acme, World(acme.tenant["space"])).json()["id"]
    for party in (acme, globex):
        assert listed(party, f"&space={space}") == shared[::-1]
        assert set(shared) <= set(listed(party))
    assert own in listed(globex) and others not in listed(globex)
    assert own in listed(globex, f"&space={globex.tenant['space']}") and not set(shared) & set(
        listed(globex, f"&space={globex.tenant['space']}"))
    for unknown in (acme.tenant["space"], found(acme)["id"], "spc_" + "0" * 32, "x"):
        problem(globex.client.get(f"/v1/policies?space={unknown}"), 422, "policy.wrong_space")


def test_lists_of_who_pins_an_image(acme, globex, space):
    """Before a manifest is replaced its owner asks which policies name it."""
    worlds = {name: World(where) for name, where in (
        ("shared", space), ("own", acme.tenant["space"]), ("others", globex.tenant["space"]), ("image", space))}
    image, other = digest(unique("image").encode()), digest(unique("image").encode())
    for name, world in worlds.items():
        world.policy["image"]["manifest"] = other if name == "image" else image
    ids = {name: submit(globex if name == "others" else acme, world).json()["id"] for name, world in worlds.items()}
    assert listed(acme, f"&image={image}") == [ids["own"], ids["shared"]]
    assert listed(globex, f"&image={image}") == [ids["others"], ids["shared"]]
    assert listed(acme, f"&image={image}&space={space}") == [ids["shared"]]
    assert listed(acme, f"&image={other}") == [ids["image"]] and listed(acme, "&image=" + digest(b"none")) == []
    etag = acme.client.get(f"/v1/policies/{ids['own']}").json()["etag"]
    assert acme.client.delete(f"/v1/policies/{ids['own']}", etag).status_code == 204
    assert listed(acme, f"&image={image}") == [ids["shared"]]
    problem(acme.client.get("/v1/policies?image=latest"), 400, "policy.bad_image")


def test_others_read_and_vote_and_do_nothing_else(acme, globex, space):
    world = World(space)
    record = submit(acme, world).json()
    path, order = f"/v1/policies/{record['id']}", {"policy": record["id"], "order": world.order(), "grants": world.grants()}
    for answer in (globex.client.delete(path, record["etag"]), globex.client.post("/v1/orders", order),
                   globex.client.post("/v1/pipelines", {"name": unique("pipe"), "template": "small", "policy": record["id"]})):
        problem(answer, 404, "policy.not_found")
    voted = globex.client.post(f"{path}/approvals", {"approval": world.approval()})  # a signature counts, whoever brings it
    assert voted.status_code == 201 and len(voted.json()["approvals"]) == 1
    again = submit(globex, world)  # the same document is a record of its own elsewhere
    assert again.status_code == 201 and again.json()["id"] != record["id"] and again.json()["hash"] == record["hash"]
    assert acme.client.post("/v1/orders", order).status_code == 201
    etag = acme.client.get(path).json()["etag"]
    assert acme.client.delete(path, etag).status_code == 204
    problem(globex.client.get(path), 404, "policy.not_found")


def test_nobody_else_is_in_the_space(acme, globex, space):
    alone = found(acme)["id"]
    acme.client.tokens.clear()
    assert submit(acme, World(alone)).status_code == 201
    problem(submit(globex, World(alone)), 422, "policy.wrong_space")
    problem(submit(globex, World(acme.tenant["space"])), 422, "policy.wrong_space")


def test_who_leaves_sees_no_more_and_its_tokens_die(acme, globex, space):
    record = submit(acme, World(space)).json()
    path = f"/v1/policies/{record['id']}"
    assert globex.client.get(path).status_code == 200
    assert globex.client.delete(f"/v1/spaces/{space}/members/{globex.tenant['id']}").status_code == 204
    wait_for(lambda: globex.client.get(path).status_code == 401, "the token with the space to die", 10)
    problem(globex.client.get(path), 401, "auth.revoked")
    assert acme.client.get(path).status_code == 200  # the others' live on
    globex.client.tokens.clear()
    problem(globex.client.get(path), 404, "policy.not_found")
    problem(globex.client.get(f"/v1/policies?space={space}"), 422, "policy.wrong_space")
