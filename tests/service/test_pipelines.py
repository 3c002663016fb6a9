# SPDX-License-Identifier: Apache-2.0
"""policy's other resources at the edge of a real stack: later approvals, pipelines, projections, datasets with their versions,
orders."""
import concurrent.futures
import contextlib
import uuid

import psycopg2
import pytest

from local_stack import problem, unique, wait_for
from trust import Key, World, b64url, digest, rule

OBJECT = "obj_" + "0" * 32


@pytest.fixture
def auditor(stack):
    return stack.client("acme-audit")


@pytest.fixture
def world(owner):
    return World(owner.space())


@pytest.fixture
def policy(owner, world):
    return owner.made("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})


def pipeline_of(policy, **more):
    return {"name": unique("pipe"), "template": "small", "policy": policy["id"], **more}


def projection_of(**more):
    return {"name": unique("view"), "columns": ["CODE", "DESCRIPTION"],
            "filter": [{"column": "CODE", "op": "in", "value": ["1", "2"]}, {"column": "START", "op": ">=", "value": "2019"}],
            "minimum_rows": 10, **more}


def dataset_of(**more):
    return {"name": unique("data"), "direction": "input", "labels": {"kind": "rows"}, **more}


# --- approvals that come later ---

def test_later_word_of_a_key_replaces_the_earlier(owner, policy, world):
    path = f"/v1/policies/{policy['id']}/approvals"
    declined = world.approval(decision="decline")
    answer = owner.post(path, {"approval": declined})
    assert answer.status_code == 201, answer.text
    assert answer.json()["approvals"] == [declined] and answer.json()["etag"] != policy["etag"]
    assert owner.get(f"/v1/policies/{policy['id']}").json() == answer.json()


def test_approver_adds_to_the_author(owner, world):
    approver = Key()
    world.policy["parties"]["approvers"] = [approver.spki]
    world.policy["approval"]["rules"].append(rule("second", "approvers"))
    policy = owner.made("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})
    path = f"/v1/policies/{policy['id']}/approvals"
    stranger = World(world.policy["space"])
    problem(owner.post(path, {"approval": world.approval(stranger.author)}), 422, "approval.not_a_party")
    problem(owner.post(path, {"approval": world.approval(scope="third")}), 422, "approval.wrong_scope")
    problem(owner.post(path, {"approval": world.approval(policy=digest(b"other"))}), 422, "approval.wrong_policy")
    second = world.approval(approver, scope="second")
    approvals = owner.post(path, {"approval": second}).json()["approvals"]
    assert second in approvals and len(approvals) == 2


def test_votes_at_one_time_are_all_shown(owner, world):
    approvers = [Key() for _ in range(6)]
    world.policy["parties"]["approvers"] = [key.spki for key in approvers]
    world.policy["approval"]["rules"].append(rule("second", "approvers"))
    policy = owner.made("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})
    votes = [world.approval(key, scope="second") for key in approvers]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda vote: owner.post(f"/v1/policies/{policy['id']}/approvals", {"approval": vote}), votes))
    assert [answer.status_code for answer in answers] == [201] * 6
    shown = owner.get(f"/v1/policies/{policy['id']}").json()["approvals"]
    assert len(shown) == 7 and all(vote in shown for vote in votes)


# --- what all three keep to ---

@pytest.fixture(params=["pipelines", "projections", "datasets"])
def kind(request, policy):
    """(path, a good body, a body that changes it)."""
    if request.param == "pipelines":
        body = pipeline_of(policy)
        return "/v1/pipelines", body, {"template": "small", "policy": policy["id"]}
    if request.param == "projections":
        return "/v1/projections", projection_of(), projection_of(columns=["CODE"], filter=[])
    return "/v1/datasets", dataset_of(), {"name": unique("data"), "labels": {"kind": "other"}}


def test_record_is_made_changed_and_removed(owner, kind):
    path, body, change = kind
    made = owner.post(path, body)
    assert made.status_code == 201, made.text
    record = made.json()
    one = f"{path}/{record['id']}"
    assert made.headers["Location"] == one
    assert {name: record[name] for name in body} == body
    assert owner.get(one).json() == record
    line = {name: value for name, value in record.items() if name != "long_description"}  # of one by itself
    assert line in owner.get(f"{path}?page_size=200").json()["items"]

    problem(owner.put(one, change), 428, "resource.if_match_missing")
    problem(owner.put(one, change, '"r77"'), 412, "resource.changed")
    changed = owner.put(one, change, record["etag"])
    assert changed.status_code == 200, changed.text
    assert {name: changed.json()[name] for name in change} == change
    assert changed.json()["etag"] != record["etag"]

    problem(owner.delete(one), 428, "resource.if_match_missing")
    problem(owner.delete(one, record["etag"]), 412, "resource.changed")
    assert owner.delete(one, changed.json()["etag"]).status_code == 204
    problem(owner.get(one), 404, f"{path[4:-1]}.not_found")
    assert owner.made(path, body)["id"] != record["id"]  # its name is free again


def test_name_is_taken_once(owner, kind):
    path, body, _ = kind
    owner.made(path, body)
    problem(owner.post(path, body), 409, f"{path[4:-1]}.name_taken")


def test_idempotency_key_makes_one(owner, kind):
    path, body, _ = kind
    key = str(uuid.uuid4())
    first, again = owner.post(path, body, key), owner.post(path, body, key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() and again.headers["Idempotent-Replayed"] == "true"
    quoted = owner.post(path, dict(reversed(body.items())), f'"{key}"')  # as the draft has it, and another order of members
    assert quoted.status_code == 200 and quoted.json() == first.json()


def test_idempotency_key_is_one_requests(owner, kind):
    path, body, _ = kind
    key = str(uuid.uuid4())
    record = owner.made(path, body, key=key)
    elsewhere = "/v1/datasets" if path != "/v1/datasets" else "/v1/projections"
    for other, asked in ((path, {**body, "name": unique("other")}), (path, {}), (elsewhere, body)):
        problem(owner.post(other, asked, key), 422, "idempotency.mismatch")
    assert owner.post(path, body, key).json() == record


def test_twin_of_a_request_in_progress_is_told_so(stack, owner, kind):
    """The first one's transaction is another session's, which has put the key in and not yet committed."""
    path, body, _ = kind
    key, tenant = str(uuid.uuid4()), owner.get("/v1/tenants/self").json()
    me = owner.get("/v1/members/self").json()["id"]
    first = psycopg2.connect(host=str(stack.sockets / "postgres"), user="postgres", dbname="strongroom")
    with contextlib.closing(first), concurrent.futures.ThreadPoolExecutor(1) as pool:
        first.cursor().execute("INSERT INTO policy.idempotency (tenant_id, space_id, key, digest, resource_id)"
                               " VALUES (%s, %s, %s, 'x', 'x')", (tenant["id"], tenant["space"], f"{me} {key}"))
        twin = pool.submit(owner.post, path, body, key)
        wait_for(lambda: stack.sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'policy' AND wait_event_type = 'Lock'"),
                 "the twin waits for the first one")
        first.commit()
        problem(twin.result(), 409, "idempotency.in_progress")
    problem(owner.post(path, body, key), 422, "idempotency.mismatch")


def test_texts_that_are_none_are_refused(owner, kind):
    path, body, _ = kind
    problem(owner.get(f"{path}?page_token={b64url(bytes([0xff]))}"), 400, "page.bad_token")
    problem(owner.post(path, body, b"\xff\xfe"), 400, "idempotency.bad_key")


def test_idempotency_key_is_its_callers(stack, owner, kind):
    path, body, _ = kind
    key = str(uuid.uuid4())
    record = owner.made(path, body, key=key)
    other = stack.client("acme-data").post(path, {**body, "name": unique("other")}, key)
    assert other.status_code == 201 and other.json()["id"] != record["id"], other.text


def test_others_neither_see_nor_change(owner, stranger, auditor, kind):
    path, body, change = kind
    record = owner.made(path, body)
    one = f"{path}/{record['id']}"
    for answer in (stranger.get(one), stranger.put(one, change, record["etag"]), stranger.delete(one, record["etag"])):
        assert answer.status_code == 404, answer.text
    assert record["id"] not in stranger.get(path).text
    assert auditor.get(one).json() == record
    for answer in (auditor.post(path, body), auditor.put(one, change, record["etag"]),
                   auditor.delete(one, record["etag"])):
        problem(answer, 403, "auth.role_missing")


def test_pages_are_whole(owner, kind):
    path, body, _ = kind
    names = [owner.made(path, {**body, "name": unique("page")})["name"] for _ in range(3)]
    seen, token = [], ""
    while token is not None:
        page = owner.get(f"{path}?page_size=2&page_token={token}").json()
        assert len(page["items"]) <= 2
        seen += [item["name"] for item in page["items"]]
        token = page["next_page_token"]
    assert [name for name in seen if name in names] == names[::-1] and len(seen) == len(set(seen))
    problem(owner.get(f"{path}?page_size=0"), 400, "page.bad_size")
    problem(owner.get(f"{path}?page_token=%21"), 400, "page.bad_token")


# --- each one's own ---

def test_pipeline_stands_on_a_policy_for_its_template(owner, policy):
    problem(owner.post("/v1/pipelines", pipeline_of(policy, template="large")), 422, "pipeline.other_template")
    problem(owner.post("/v1/pipelines", pipeline_of({"id": "pol_" + "0" * 32})), 404, "policy.not_found")
    problem(owner.post("/v1/pipelines", pipeline_of(policy, name="Not A Name")), 400, "json.invalid_fields")
    pipeline = owner.made("/v1/pipelines", pipeline_of(policy))
    assert (pipeline["version"], pipeline["policy_hash"]) == (1, policy["hash"])
    problem(owner.delete(f"/v1/policies/{policy['id']}", policy["etag"]), 409, "policy.in_use")
    update = {"template": "small", "policy": policy["id"]}
    pipeline = owner.put(f"/v1/pipelines/{pipeline['id']}", update, pipeline["etag"]).json()
    assert pipeline["version"] == 2
    assert owner.delete(f"/v1/pipelines/{pipeline['id']}", pipeline["etag"]).status_code == 204
    assert owner.delete(f"/v1/policies/{policy['id']}", policy["etag"]).status_code == 204


@pytest.mark.parametrize("change, code", [
    ({"columns": []}, "projection.bad_columns"), ({"columns": ["A", "A"]}, "projection.bad_columns"),
    ({"columns": [1]}, "projection.bad_columns"), ({"columns": [""]}, "projection.bad_columns"),
    ({"filter": [{"column": "A", "op": "like", "value": "x"}]}, "projection.bad_filter"),
    ({"filter": [{"column": "A", "op": "in", "value": "x"}]}, "projection.bad_filter"),
    ({"filter": [{"column": "A", "op": "=", "value": ["x"]}]}, "projection.bad_filter"),
    ({"filter": [{"column": "A", "op": "=", "value": "x", "or": 1}]}, "projection.bad_filter"),
    ({"minimum_rows": -1}, "json.invalid_fields"), ({"more": 1}, "json.invalid_fields"),
])
def test_projection_of_another_shape(owner, change, code):
    problem(owner.post("/v1/projections", projection_of(**change)), 400, code)


def test_dataset_refers_to_a_projection(owner, stranger):
    projection = owner.made("/v1/projections", projection_of())
    foreign = stranger.made("/v1/projections", projection_of())
    problem(owner.post("/v1/datasets", dataset_of(projection=foreign["id"])), 422, "projection.not_found")
    dataset = owner.made("/v1/datasets", dataset_of(projection=projection["id"]))
    assert dataset["projection"] == projection["id"]
    problem(owner.delete(f"/v1/projections/{projection['id']}", projection["etag"]), 409, "projection.in_use")
    problem(owner.post("/v1/datasets", dataset_of(direction="both")), 400, "dataset.bad_direction")
    problem(owner.post("/v1/datasets", dataset_of(labels={"a": 1})), 400, "label.invalid")


def test_versions_count_up(owner, stranger):
    dataset = owner.made("/v1/datasets", dataset_of())
    path = f"/v1/datasets/{dataset['id']}/versions"
    assert (dataset["version"], dataset["object"]) == (0, None)
    body = {"object": OBJECT, "digest": digest(b"1"), "size": 1}
    assert owner.made(path, body) == {"id": dataset["id"], "version": 1}
    assert owner.made(path, {**body, "version": 2, "size": 2})["version"] == 2
    problem(owner.post(path, {**body, "version": 2}), 409, "dataset.version_taken")
    problem(owner.post(path, {**body, "object": "obj_1"}), 400, "dataset.bad_object")
    problem(owner.post(path, {**body, "digest": "sha256:1"}), 400, "json.invalid_fields")
    problem(stranger.post(path, body), 404, "dataset.not_found")
    problem(stranger.get(path), 404, "dataset.not_found")
    assert {item["version"]: item["size"] for item in owner.get(path).json()["items"]} == {1: 1, 2: 2}
    shown = owner.get(f"/v1/datasets/{dataset['id']}").json()
    assert (shown["version"], shown["size"], shown["object"]) == (2, 2, OBJECT)


# --- orders ---

def order_of(policy, world, **more):
    return {"policy": policy["id"], "order": world.order(), "grants": world.grants(), **more}


def test_order_is_taken_once(owner, stranger, policy, world):
    key = str(uuid.uuid4())
    body = order_of(policy, world)
    made = owner.post("/v1/orders", body, key)
    assert made.status_code == 201, made.text
    assert owner.post("/v1/orders", body, key).json() == made.json()
    problem(owner.post("/v1/orders", body), 409, "order.replayed")
    problem(stranger.post("/v1/orders", order_of(policy, World(world.policy["space"]))), 404, "policy.not_found")


@pytest.mark.parametrize("change, code", [
    (lambda w: {"order": w.order(policy=digest(b"other"))}, "order.wrong_policy"),
    (lambda w: {"order": World(w.policy["space"]).order(policy=w.hash)}, "order.not_a_runner"),
    (lambda w: {"grants": w.grants()[:1]}, "grant.missing"),
    (lambda w: {"grants": w.grants() + w.grants()[:1]}, "grant.twice"),
    (lambda w: {"grants": [w.grant("image", policy=digest(b"other")), *w.grants()[1:]]}, "grant.wrong_policy"),
    (lambda w: {"grants": [w.grant("image", slot="input/more"), *w.grants()[1:]]}, "grant.wrong_slot"),
    (lambda w: {"grants": [w.grant("image", run_nonce=w.enc.thumbprint), *w.grants()[1:]]}, "grant.wrong_run"),
    (lambda w: {"grants": [w.grant("image", kid=Key("enc").thumbprint), *w.grants()[1:]]}, "grant.wrong_key"),
])
def test_order_that_does_not_hold(owner, policy, world, change, code):
    problem(owner.post("/v1/orders", order_of(policy, world, **change(world))), 422, code)
