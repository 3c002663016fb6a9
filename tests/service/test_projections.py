# SPDX-License-Identifier: Apache-2.0
"""Who may see and use a projection: its tenant's members, or those that it lists, and the spaces that it is shared with."""
import pytest

from local_stack import problem, unique
from spaces import Party, found_together


@pytest.fixture(scope="module")
def data(stack):
    """A member with the right to change data, and no other."""
    return stack.client("acme-data")


def member_id(client):
    return client.get("/v1/members/self").json()["id"]


def projection_of(**more):
    return {"name": unique("view"), "columns": ["A"], "filter": [{"column": "A", "op": "=", "value": "x"}], **more}


def one(record):
    return f"/v1/projections/{record['id']}"


def ids(client):
    found, token = [], ""
    while token is not None:
        page = client.get(f"/v1/projections?page_size=5{token}").json()
        found += [item["id"] for item in page["items"]]
        token = page["next_page_token"] and "&page_token=" + page["next_page_token"]
    return found


def test_without_a_list_every_member_sees_it(owner, data):
    record = owner.made("/v1/projections", projection_of())
    assert record["members"] is None and record["id"] in ids(data)
    assert data.get(one(record)).json() == record


def test_who_is_not_listed_neither_sees_nor_uses_it(stack, owner, data):
    auditor = stack.client("acme-audit")
    record = owner.made("/v1/projections", projection_of(members=[]))
    for client in (data, auditor):
        problem(client.get(one(record)), 404, "projection.not_found")
        assert record["id"] not in ids(client)
    problem(data.put(one(record), projection_of(), "*"), 404, "projection.not_found")
    problem(data.delete(one(record), "*"), 404, "projection.not_found")
    problem(data.get(one(record) + "/shares"), 404, "projection.not_found")
    dataset = {"name": unique("data"), "direction": "input", "projection": record["id"]}
    problem(data.post("/v1/datasets", dataset), 422, "projection.not_found")
    mine = data.made("/v1/datasets", {**dataset, "projection": data.made("/v1/projections", projection_of())["id"]})
    problem(data.put(f"/v1/datasets/{mine['id']}", {"name": mine["name"], "projection": record["id"]}, mine["etag"]), 422,
            "projection.not_found")
    assert owner.get(one(record)).json() == record and record["id"] in ids(owner)

    listed = owner.put(one(record), projection_of(members=[member_id(data)]), record["etag"]).json()
    assert data.get(one(record)).json() == listed and record["id"] in ids(data)
    assert data.post("/v1/datasets", {**dataset, "name": unique("data")}).status_code == 201
    problem(auditor.get(one(record)), 404, "projection.not_found")


def test_its_maker_owners_and_admins_always_see_it(owner, data):
    record = data.made("/v1/projections", projection_of(members=[member_id(owner)]))
    assert data.get(one(record)).json() == record and owner.get(one(record)).json() == record
    assert record["id"] in ids(data) and record["id"] in ids(owner)


@pytest.mark.parametrize("members, code", [
    (["x"], "projection.bad_members"), ([1], "projection.bad_members"), (["mbr_" + "0" * 31], "projection.bad_members"),
    (["mbr_" + "0" * 32 + "}"], "projection.bad_members"), (["mbr_" + "0" * 32] * 65, "json.invalid_fields"), ("mbr", "json.invalid_fields")])
def test_lists_that_are_none(owner, members, code):
    problem(owner.post("/v1/projections", projection_of(members=members)), 400, code)


def test_longest_list(owner):
    members = [f"mbr_{number:032x}" for number in range(64)]
    assert owner.made("/v1/projections", projection_of(members=members))["members"] == members


def test_shared_with_a_space(stack):
    acme, globex = Party(stack.client("acme-owner")), Party(stack.client("globex-owner"))
    space = found_together(acme, globex)["id"]
    record = acme.client.made("/v1/projections", projection_of(members=[]))
    problem(globex.client.get(one(record)), 404, "projection.not_found")
    share = acme.client.made(one(record) + "/shares", {"space": space})
    assert globex.client.get(one(record)).json() == record and record["id"] in ids(globex.client)
    for answer in (globex.client.put(one(record), projection_of(), "*"), globex.client.delete(one(record), "*"),
                   globex.client.post(one(record) + "/shares", {"space": space})):
        problem(answer, 404, "projection.not_found")
    assert acme.client.get(one(record) + "/shares").json()["items"][0]["id"] == share["id"]
    assert acme.client.delete(f"{one(record)}/shares/{share['id']}").status_code == 204
    problem(globex.client.get(one(record)), 404, "projection.not_found")
    assert record["id"] not in ids(globex.client)
    acme.client.made(one(record) + "/shares", {"space": space})
    assert acme.client.delete(one(record), record["etag"]).status_code == 204
    problem(globex.client.get(one(record)), 404, "projection.not_found")
    assert record["id"] not in ids(globex.client)
