# SPDX-License-Identifier: Apache-2.0
"""What a tenant may have: refused in words that help, exact side by side, and nobody else's business."""
import base64
import concurrent.futures
import functools

import pytest

from conftest import short_folder
from certreg_stack import certreg_process, is_problem, key_id, new_key  # noqa: F401 (fixture)
from test_certreg_members import NEVER, Secret

FEW = {"quota_keys": 12, "quota_certificates": 3, "quota_challenges": 4, "quota_invitations": 2, "quota_spaces": 2, "quota_members": 4}


@pytest.fixture(scope="module")
def certreg(postgres, redis):
    with short_folder("sr-quo-") as folder, certreg_process(folder, postgres, redis) as running:
        running.stop()
        with open(running.conf, "a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in FEW.items())
        running.start()
        yield running


@pytest.fixture
def owner(certreg):
    return certreg.client("acme-owner")


@pytest.fixture
def globex(certreg):
    return certreg.client("globex-owner")


def is_full(answer, name, status=403):
    assert is_problem(answer, status, "limit.quota") and f"({name})" in answer.json["detail"], answer.body
    assert f" {FEW[name]} " in answer.json["detail"]
    assert ("Retry-After" in answer.headers) == (status == 429)
    return True


def side_by_side(ask, count=8):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: ask(), range(count)))


def make_key(member):
    return member.post("/v1/keys", Secret("sr", "key").words(name="k"))


def active_keys(member):
    return [item for item in member.get("/v1/keys?page_size=200").json["items"] if item["state"] == "active"]


def test_keys(owner, globex):
    answers = side_by_side(lambda: make_key(owner), 16)
    assert {answer.status for answer in answers} == {201, 403} and len(active_keys(owner)) == FEW["quota_keys"]
    assert all(is_full(answer, "quota_keys") for answer in answers if answer.status == 403)
    assert make_key(globex).status == 201
    made = next(answer for answer in answers if answer.status == 201)
    rotate = functools.partial(owner.post, f"/v1/keys/{made.json['id']}:rotate", If_Match=made.headers["ETag"])
    assert is_full(rotate(Secret("sr", "key").words()), "quota_keys")
    assert rotate(Secret("sr", "key").words(overlap_seconds=0)).status == 201
    gone = next(item for item in active_keys(owner) if item["name"] == "k" and not item["expires_at"])
    assert owner.ask("DELETE", f"/v1/keys/{gone['id']}", If_Match=gone["etag"]).status == 200
    assert make_key(owner).status == 201


def test_challenges(owner, globex, new_key):
    spki = new_key().spki()
    answers = side_by_side(lambda: owner.post("/v1/challenges", {"spki": spki}))
    assert [answer.status for answer in answers].count(201) == FEW["quota_challenges"]
    assert all(is_full(answer, "quota_challenges", 429) for answer in answers if answer.status != 201)
    assert globex.post("/v1/challenges", {"spki": spki}).status == 201


def test_certificates(certreg, globex, new_key):
    """By both ways in; what is known already is answered at any number."""
    basic = "Basic " + base64.b64encode(f"{key_id(certreg.key('globex-owner'))}:{certreg.key('globex-owner')}".encode()).decode()
    keys = [new_key(f"machine{number}") for number in range(6)]

    def enroll(key):
        return certreg.ask("POST", "/.well-known/est/simpleenroll", key.request("/CN=machine"), Authorization=basic,
                           Content_Type="application/pkcs10")

    with concurrent.futures.ThreadPoolExecutor(len(keys)) as pool:
        answers = list(pool.map(enroll, keys))
    assert [answer.status for answer in answers].count(200) == FEW["quota_certificates"]
    assert all(is_full(answer, "quota_certificates") for answer in answers if answer.status != 200)
    known = keys[[answer.status for answer in answers].index(200)]
    assert enroll(known).status == 200
    other = new_key("other")
    assert is_full(globex.register(other), "quota_certificates")
    record = next(item for item in globex.get("/v1/certificates").json["items"] if item["spki"] == known.spki())
    assert globex.revoke(record["id"]).status == 200
    assert globex.register(other).status == 201


def test_members_and_invitations(owner):
    count = len([item for item in owner.get("/v1/members?page_size=200").json["items"] if item["state"] != "removed"])
    for number in range(count, FEW["quota_members"]):
        assert owner.post("/v1/members", {"name": f"robot-{number}", "roles": ["auditor"]}).status == 201
    assert is_full(owner.post("/v1/members", {"name": "robot", "roles": ["auditor"]}), "quota_members")
    answers = [owner.post("/v1/invitations", Secret("sri", "inv").words(name=f"guest-{number}", roles=["auditor"], expires_at=NEVER)) for number in range(3)]
    assert [answer.status for answer in answers] == [201, 201, 403] and is_full(answers[2], "quota_invitations")


def test_spaces(owner):
    answers = [owner.post("/v1/spaces", {"name": f"study-{number}"}) for number in range(3)]
    assert [answer.status for answer in answers] == [201, 201, 403] and is_full(answers[2], "quota_spaces")
