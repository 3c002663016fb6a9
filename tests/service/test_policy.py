# SPDX-License-Identifier: Apache-2.0
"""policy at the edge of a real stack: what it stores, and everything it refuses before it stores it."""
import contextlib
from concurrent import futures
import re
import subprocess

import pytest

from local_stack import problem, unique, wait_for
from trust import Key, World, b64url


@pytest.fixture
def world(owner):
    return World(owner.space())


def submit(client, world, **body):
    return client.post("/v1/policies", {"policy": world.policy, "approvals": [world.approval()], **body})


def test_policy_is_stored_once_by_its_hash(owner, world):
    made = submit(owner, world)
    assert made.status_code == 201, made.text
    record = made.json()
    assert record["hash"] == world.hash and record["document"] == world.policy and len(record["approvals"]) == 1
    again = submit(owner, world)
    assert again.status_code == 200 and again.json()["id"] == record["id"]
    shown = owner.get(f"/v1/policies/{record['id']}")
    assert shown.json()["hash"] == world.hash and shown.headers["ETag"] == shown.json()["etag"]


def test_policy_with_many_approvals(owner, world):
    """Each is told of in the log, however many there are."""
    answer = submit(owner, world, approvals=[world.approval() for _ in range(8)])
    assert answer.status_code == 201 and len(answer.json()["approvals"]) == 1
    assert owner.get("/v1/policies/" + answer.json()["id"]).status_code == 200


def test_changed_document_is_a_new_version_of_the_name(owner, world):
    first = submit(owner, world).json()
    world.policy["max_runs"] = 7
    second = submit(owner, world).json()
    assert second["version"] == first["version"] + 1 and second["id"] != first["id"]


def test_policy_of_another_tenant_is_not_there(owner, stranger, world):
    record = submit(owner, world).json()
    for answer in (stranger.get(f"/v1/policies/{record['id']}"),
                   stranger.delete(f"/v1/policies/{record['id']}", '"r1"'),
                   stranger.post(f"/v1/policies/{record['id']}/approvals", {"approval": world.approval()})):
        problem(answer, 404, "policy.not_found")
    assert record["id"] not in stranger.get("/v1/policies").text
    problem(submit(stranger, world), 422, "policy.wrong_space")


def waiting(stack):
    """Requests in the lane's queue, as the last tick counted them."""
    text = subprocess.run(["curl", "-sf", "--unix-socket", stack.sockets / "policy/http.sock", "http://policy/metrics"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return int(re.search(r'^strongroom_lane_waiting_requests\{lane="db"\} (\d+)', text, re.M)[1])


def test_reads_that_wait_together_are_each_their_callers_own(stack, owner, stranger, world):
    """Also those of one caller, which are one statement."""
    mine, other = submit(owner, world).json(), submit(stranger, World(stranger.space())).json()
    second = submit(owner, World(owner.space())).json()
    mine, other = owner.get(f"/v1/policies/{mine['id']}").json(), stranger.get(f"/v1/policies/{other['id']}").json()
    path, elsewhere, nobody = f"/v1/policies/{mine['id']}", f"/v1/policies/{other['id']}", {"Authorization": "Bearer none"}
    unreal = ["pol_" + "0" * 32, f"{mine['id']},{second['id']}", f"{{{mine['id']}}}", "%7B%22", "%00"]
    with contextlib.closing(stack.connect()) as blocker, futures.ThreadPoolExecutor(70) as pool:
        blocker.cursor().execute("LOCK TABLE policy.policy")
        answers = [(pool.submit(owner.get, path), pool.submit(stranger.get, path), pool.submit(stranger.get, elsewhere),
                    pool.submit(owner.get, elsewhere), pool.submit(owner.get, path, headers=nobody),
                    pool.submit(owner.get, f"/v1/policies/{second['id']}"), pool.submit(owner.get, f"/v1/policies/{unreal[i % 5]}"))
                   for i in range(10)]
        wait_for(lambda: waiting(stack) >= 20, "a queue in the lane", 4)  # before Postgres gives the lock's waiters up
        blocker.rollback()
    for shown, hidden, others, not_mine, unknown, beside, absent in (tuple(one.result() for one in row) for row in answers):
        assert shown.json() == mine and others.json() == other
        assert beside.json()["id"] == second["id"] and beside.json()["document"] == second["document"]
        assert absent.status_code in (400, 404), absent.text
        problem(hidden, 404, "policy.not_found")
        problem(not_mine, 404, "policy.not_found")
        problem(unknown, 401, "auth.invalid_token")
        assert mine["id"] not in others.text and other["id"] not in shown.text


@pytest.mark.parametrize("tamper, code", [
    (lambda w: {"approvals": []}, "approval.missing"),
    (lambda w: {"approvals": [w.approval(policy="sha256:" + "0" * 64)]}, "approval.wrong_policy"),
    (lambda w: {"approvals": [w.approval(exp=1000)]}, "approval.expired"),
    (lambda w: {"approvals": [World(w.policy["space"]).approval(policy=w.hash)]}, "approval.not_a_party"),
    (lambda w: {"approvals": [{**w.approval(), "spki": World("x").approval()["spki"]}]}, "trust.signature"),
    (lambda w: {"approvals": [w.order()]}, "trust.envelope"),
    (lambda w: {"approvals": [with_header(w.approval())]}, "trust.envelope"),
])
def test_approval_that_does_not_hold(owner, world, tamper, code):
    problem(submit(owner, world, **tamper(world)), 400 if code == "trust.envelope" else 422, code)


def with_header(envelope):
    """The same with a header that no signature covers."""
    return {**envelope, "jws": {**envelope["jws"], "header": {"kid": "x"}}}


@pytest.mark.parametrize("member, value", [
    ("v", "strongroom-policy-2"), ("name", "Not A Name"), ("max_runs", -1), ("evidence", {"minimum": "maybe"}),
    ("unknown", 1), ("process", {"argv": [], "env": {}, "cwd": "/"}), ("image", {}),
])
def test_policy_of_another_shape(owner, world, member, value):
    world.policy[member] = value
    answer = submit(owner, world)
    problem(answer, 400, "policy.invalid")


def test_malformed_bodies(owner):
    def raw(data, kind="application/json"):
        return owner.ask("POST", "/v1/policies", data=data, headers={"Content-Type": kind})

    problem(raw(b"{"), 400, "json.syntax")
    problem(raw(b'{"policy": "\xff"}'), 400, "json.not_utf8")
    problem(raw(b'{"a":' * 100 + b"1" + b"}" * 100), 400, "json.too_deep")
    problem(raw(b'{"policy":{},"policy":{}}'), 400, "json.duplicate")
    assert raw(b"{}", "text/plain").status_code == 415
    assert raw(b" " * (2 << 20)).status_code == 413


def test_pipeline_life(owner, stranger, world):
    record = submit(owner, world).json()
    body = {"name": unique("pipe"), "template": "small", "policy": record["id"]}
    pipeline = owner.made("/v1/pipelines", body, key="one-" + body["name"])
    assert owner.made("/v1/pipelines", body, key="one-" + body["name"])["id"] == pipeline["id"]
    problem(owner.post("/v1/pipelines", body), 409, "pipeline.name_taken")
    problem(stranger.get(f"/v1/pipelines/{pipeline['id']}"), 404, "pipeline.not_found")
    problem(owner.post("/v1/pipelines", {**body, "name": unique("pipe"), "template": "large"}), 422,
            "pipeline.other_template")
    path, update = f"/v1/pipelines/{pipeline['id']}", {"template": "small", "policy": record["id"]}
    problem(owner.put(path, update), 428, "resource.if_match_missing")
    problem(owner.put(path, update, '"r99"'), 412, "resource.changed")
    assert owner.put(path, update, pipeline["etag"]).json()["version"] == 2
    policy = owner.get(f"/v1/policies/{record['id']}").json()
    problem(owner.delete(f"/v1/policies/{record['id']}", policy["etag"]), 409, "policy.in_use")
    assert owner.delete(path, owner.get(path).json()["etag"]).status_code == 204
    assert owner.delete(f"/v1/policies/{record['id']}", policy["etag"]).status_code == 204
    problem(owner.get(path), 404, "pipeline.not_found")


def test_projections_and_datasets(owner, stranger):
    projection = owner.made("/v1/projections", {"name": unique("prj"), "columns": ["CODE"], "minimum_rows": 10,
                                                "filter": [{"column": "CODE", "op": "in", "value": ["1", "2"]}]})
    problem(owner.post("/v1/projections", {"name": unique("prj"), "columns": []}), 400, "projection.bad_columns")
    problem(owner.post("/v1/projections", {"name": unique("prj"), "columns": ["A"],
                                           "filter": [{"column": "A", "op": "~", "value": "x"}]}), 400,
            "projection.bad_filter")
    dataset = owner.made("/v1/datasets", {"name": unique("dst"), "direction": "input", "projection": projection["id"]})
    assert dataset["version"] == 0 and dataset["object"] is None
    version = {"object": owner.made("/v1/objects", {"role": "input"})["id"], "digest": world_digest(), "size": 5}
    made = owner.post(f"/v1/datasets/{dataset['id']}/versions", {**version, "version": 1})
    assert made.status_code == 201 and made.json()["version"] == 1
    problem(owner.post(f"/v1/datasets/{dataset['id']}/versions", {**version, "version": 1}), 409,
            "dataset.version_taken")
    problem(stranger.post(f"/v1/datasets/{dataset['id']}/versions", version), 404, "dataset.not_found")
    problem(stranger.post("/v1/datasets", {"name": unique("dst"), "direction": "input",
                                           "projection": projection["id"]}), 422, "projection.not_found")
    problem(owner.delete(f"/v1/projections/{projection['id']}", projection["etag"]), 409, "projection.in_use")


def world_digest():
    return "sha256:" + "a" * 64


def test_order_with_its_grants(owner, stranger, world):
    record = submit(owner, world).json()
    body = {"policy": record["id"], "order": world.order(), "grants": world.grants()}
    assert owner.post("/v1/orders", body, key=world.run_nonce).status_code == 201
    assert owner.post("/v1/orders", body, key=world.run_nonce).status_code == 201
    problem(owner.post("/v1/orders", body), 409, "order.replayed")
    problem(stranger.post("/v1/orders", body), 404, "policy.not_found")


@pytest.mark.parametrize("tamper, code", [
    (lambda w: {"grants": w.grants()[:1]}, "grant.missing"),
    (lambda w: {"grants": w.grants() + [w.grant("image")]}, "grant.twice"),
    (lambda w: {"grants": [w.grant("image", policy=world_digest()), w.grant("output")]}, "grant.wrong_policy"),
    (lambda w: {"grants": [w.grant("image", slot="input/other"), w.grant("output")]}, "grant.wrong_slot"),
    (lambda w: {"grants": [w.grant("image", run_nonce=b64url(b"x" * 32)), w.grant("output")]}, "grant.wrong_run"),
    (lambda w: {"grants": [w.grant("image", kid=Key("enc").thumbprint), w.grant("output")]}, "grant.wrong_key"),
    (lambda w: {"order": w.order(policy=world_digest())}, "order.wrong_policy"),
    (lambda w: {"order": World("x").order(policy=w.hash)}, "order.not_a_runner"),
])
def test_order_that_does_not_hold(owner, world, tamper, code):
    record = submit(owner, world).json()
    body = {"policy": record["id"], "order": world.order(), "grants": world.grants(), **tamper(world)}
    answer = owner.post("/v1/orders", body)
    problem(answer, 422, code)


def test_auditor_reads_and_changes_nothing(stack, owner, world):
    auditor = stack.client("acme-audit")
    record = submit(owner, world).json()
    assert auditor.get(f"/v1/policies/{record['id']}").status_code == 200
    problem(submit(auditor, world), 403, "auth.role_missing")


def test_pages_are_newest_first_and_complete(owner, world):
    made = []
    for i in range(3):
        world.policy["max_runs"] = 1000 + i
        made.append(submit(owner, world).json()["id"])
    seen, token = [], None
    while True:
        page = owner.get("/v1/policies?page_size=2" + (f"&page_token={token}" if token else "")).json()
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        token = page["next_page_token"]
        if not token:
            break
    assert seen == sorted(seen, reverse=True) and len(set(seen)) == len(seen)
    assert set(made) <= set(seen)
    problem(owner.get("/v1/policies?page_size=0"), 400, "page.bad_size")
    problem(owner.get("/v1/policies?page_token=%21"), 400, "page.bad_token")


def test_token_for_another_service_is_refused(stack, owner):
    answer = owner.http.get(stack.url + "/v1/policies", headers={"Authorization": "Bearer " + owner.token("certreg")})
    problem(answer, 401, "auth.wrong_audience")
    problem(owner.http.get(stack.url + "/v1/policies"), 401, "auth.missing")
    broken = owner.token("policy")[:-2] + "AA"
    problem(owner.http.get(stack.url + "/v1/policies", headers={"Authorization": "Bearer " + broken}), 401,
            "auth.invalid_token")
    assert owner.http.get(stack.url + "/internal/v1/tenants/x/orders/y").status_code == 404
