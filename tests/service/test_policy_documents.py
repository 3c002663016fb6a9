# SPDX-License-Identifier: Apache-2.0
"""What a policy says and what scoped policies say of it: explained, validated, compared, refused."""
import copy
import json
import pathlib

import pytest

from local_stack import problem, unique
from trust import Key, World, b64url, digest, from_b64url, jcs, rule


ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def world(owner):
    return World(owner.space())


def submit(client, world, query="", **body):
    return client.post(f"/v1/policies{query}", {"policy": world.policy, "approvals": [world.approval()], **body})


def scoped(scope, subject, **says):
    document = {"v": "strongroom-constraints-1", "scope": scope, "subject": subject, "name": unique("house"),
                **{member: None for member in ("images", "templates", "runners", "recipients", "evidence", "egress",
                                               "limits", "gates", "not_after")}}
    return {**document, **says}


def pin(document):
    return {"scope": document["scope"], "subject": document["subject"], "hash": digest(jcs(document))}


@pytest.fixture
def demanded(owner):
    """Makes scoped policies, and takes them away again: they would bind every other test's policies."""
    made = []

    def make(document, client=owner):
        answer = client.post("/v1/constraints", {"document": document})
        assert answer.status_code == 201, answer.text
        made.append((client, answer.json()))
        return answer.json()
    yield make
    for client, record in made:
        client.delete(f"/v1/constraints/{record['id']}", etag=client.get(f"/v1/constraints/{record['id']}").json()["etag"])


@pytest.fixture
def dataset(owner):
    return owner.made("/v1/datasets", {"name": unique("data"), "direction": "input"})["id"]


def read(world, dataset):
    """The world's policy reads this dataset, wherever its bytes lie."""
    entry = {"slot": "input/rows", "dataset": dataset, "version": 1, "object": "obj_" + "0" * 32, "file": "rows.csv",
             "digest": digest(b"rows"), "size": 4}
    world.policy["inputs"].append(entry)
    world.policy["slots"]["input/rows"] = {"commitment": digest(b"c"), "mode": "once", "owner": world.author.spki}
    return entry


# --- scoped policies as records ---

def test_scoped_policy_lives(owner, stranger, demanded, dataset):
    document = scoped("dataset", dataset, images=[digest(b"manifest")])
    record = demanded(document)
    assert record["hash"] == digest(jcs(document)) and record["document"] == document
    assert [r["id"] for r in owner.get(f"/v1/constraints?subject={dataset}").json()["items"]] == [record["id"]]
    problem(stranger.get(f"/v1/constraints/{record['id']}"), 404, "constraint.not_found")
    assert stranger.get(f"/v1/constraints?subject={dataset}").json()["items"] == []
    changed = {**document, "templates": ["small"]}
    path = f"/v1/constraints/{record['id']}"
    problem(owner.put(path, {"document": changed}, etag='"r9"'), 412, "resource.changed")
    answer = owner.put(path, {"document": changed}, etag=record["etag"])
    assert answer.status_code == 200 and answer.json()["hash"] == digest(jcs(changed))


@pytest.mark.parametrize("change, code", [
    ({"v": "strongroom-constraints-2"}, "constraints.invalid"), ({"images": "all"}, "constraints.invalid"),
    ({"limits": {"pids": "64"}}, "constraints.invalid"), ({"limits": {"toes": 10}}, "constraints.invalid"),
    ({"not_after": 0}, "constraints.invalid"), ({"scope": "dataset"}, "constraints.invalid"),
    ({"egress": {"modes": ["all"], "domains": []}}, "constraints.invalid"), ({"more": 1}, "constraints.invalid"),
    ({"gates": {"max_bytes": 1}}, "constraints.invalid"), ({"name": ""}, "constraints.invalid"),
    ({"name": "x" * 64}, "constraints.invalid"),
    ({"images": [digest(str(n).encode()) for n in range(257)]}, "constraints.invalid"),
])
def test_scoped_policy_of_another_shape(owner, change, code):
    problem(owner.post("/v1/constraints", {"document": {**scoped("tenant", "tnt_" + "0" * 32), **change}}), 400, code)


def test_nobody_demands_of_others(owner, stranger, dataset):
    problem(stranger.post("/v1/constraints", {"document": scoped("dataset", dataset)}), 404, "dataset.not_found")
    problem(stranger.post("/v1/constraints", {"document": scoped("tenant", "tnt_" + "0" * 32)}), 422,
            "constraint.wrong_subject")
    problem(owner.post("/v1/constraints", {"document": scoped("workflow", "wfl_" + "0" * 32)}), 404,
            "workflow.not_found")


# --- what they make of policies ---

def test_policy_keeps_to_what_applies(owner, world, demanded, dataset):
    read(world, dataset)
    document = scoped("dataset", dataset, images=[digest(b"manifest")], limits={"pids": 64})
    demanded(document)
    problem(submit(owner, world), 422, "constraint.left_out")
    world.policy["constraints"] = [{**pin(document), "hash": digest(b"another")}]
    problem(submit(owner, world), 422, "constraint.left_out")
    world.policy["constraints"] = [pin(document)]
    world.policy["limits"]["pids"] = 65
    problem(submit(owner, world), 422, "constraint.limit")
    world.policy["limits"]["pids"] = 64
    world.policy["image"]["manifest"] = digest(b"other")
    problem(submit(owner, world), 422, "constraint.image")
    world.policy["image"]["manifest"] = digest(b"manifest")
    made = submit(owner, world)
    assert made.status_code == 201, made.text


def test_pinned_and_unknown(owner, world):
    world.policy["constraints"] = [pin(scoped("tenant", "tnt_" + "0" * 32))]
    problem(submit(owner, world), 422, "constraint.missing")


def test_a_changed_demand_binds_new_policies_only(owner, world, demanded, dataset):
    read(world, dataset)
    document = scoped("dataset", dataset, limits={"pids": 64})
    record = demanded(document)
    world.policy["constraints"] = [pin(document)]
    policy = submit(owner, world).json()
    stricter = {**document, "limits": {"pids": 3}}
    assert owner.put(f"/v1/constraints/{record['id']}", {"document": stricter}, etag=record["etag"]).status_code == 200
    explained = owner.post(f"/v1/policies/{policy['id']}:explain", {}).json()
    assert [c["result"] for c in explained["clauses"] if c["clause"].startswith("dataset")] == ["pass", "pass"]
    world.policy["max_runs"] = 3
    problem(submit(owner, world), 422, "constraint.left_out")


# --- explain, validate_only ---

def clauses(explained):
    return {c["clause"]: c for c in explained["clauses"]}


def test_explain_says_what_is_asked_for_and_what_is_there(owner, world):
    explained = owner.post("/v1/policies:explain", {
        "policy": world.policy, "evidence": {"class": "none", "initdata": {"template": {"id": "large", "version": 1}}},
        "approvals": []}).json()
    assert explained["policy"] == world.hash and explained["result"] == "fail"
    assert explained["failed"] == "policy.wrong_template"
    by_name = clauses(explained)
    assert by_name["template"] == {"clause": "template", "expected": "small version 1", "actual": "large version 1",
                                   "result": "fail", "code": "policy.wrong_template"}
    assert by_name["evidence.minimum"]["result"] == "pass" and by_name["evidence.minimum"]["code"] is None
    assert by_name["approval.author"]["code"] == "approval.quorum"
    assert by_name["measurements.encrypt-output"]["result"] == "not_known"
    assert explained["warnings"] == ["EVIDENCE none: the operator of this server can read the image, the data and the "
                                     "output"]


def test_explain_inputs(owner, world, dataset):
    entry = read(world, dataset)
    given = {m: entry[m] for m in ("slot", "dataset", "version", "digest", "size")}

    def explained(**change):
        body = {"policy": world.policy, "inputs": [{**given, **change}]}
        return clauses(owner.post("/v1/policies:explain", body).json())["inputs.input/rows"]
    assert explained()["result"] == "pass"
    assert explained(version=2)["code"] == explained(digest=digest(b"x"))["code"] == "input.digest"
    assert explained(slot="input/others")["code"] == "input.missing"


def test_explain_of_a_stored_policy(owner, stranger, world):
    policy = submit(owner, world).json()
    explained = owner.post(f"/v1/policies/{policy['id']}:explain", {}).json()
    assert explained["policy"] == world.hash and clauses(explained)["approval.author"]["result"] == "pass"
    assert explained["result"] == "unknown" and explained["failed"] is None
    problem(stranger.post(f"/v1/policies/{policy['id']}:explain", {}), 404, "policy.not_found")
    assert owner.post(f"/v1/policies/{policy['id']}/approvals",
                      {"approval": world.approval(decision="decline", reason="not like this")}).status_code == 201
    explained = owner.post(f"/v1/policies/{policy['id']}:explain", {}).json()
    assert explained["failed"] == "approval.declined"


def test_validate_only_stores_nothing(owner, world, demanded, dataset):
    read(world, dataset)
    document = scoped("dataset", dataset, limits={"pids": 64})
    demanded(document)
    answer = submit(owner, world, "?validate_only=true")
    assert answer.status_code == 200 and answer.json()["failed"] == "constraint.left_out"
    world.policy["constraints"] = [pin(document)]
    assert submit(owner, world, "?validate_only=true").json()["failed"] is None
    assert world.hash not in [p["hash"] for p in owner.get("/v1/policies").json()["items"]]
    world.policy["max_runs"] = 0
    problem(submit(owner, world, "?validate_only=true"), 400, "policy.invalid")


# --- diff ---

def test_diff_names_what_changed_and_who_has_to_agree(owner, stranger, world, dataset):
    read(world, dataset)
    bert = Key()
    world.policy["approval"]["rules"].append(rule("data", [bert.spki], objects=[dataset]))
    first = submit(owner, world).json()
    world.policy["max_runs"] = 7
    world.policy["inputs"][0]["version"] = 2
    second = submit(owner, world).json()
    path = f"/v1/policies/{first['id']}/diff"
    changes = owner.get(f"{path}?with={second['id']}").json()["changes"]
    assert {c["path"]: (c["from"], c["to"], c["approvals"]) for c in changes} == {
        "/max_runs": (100, 7, ["author"]),
        "/inputs/input~1rows/version": (1, 2, ["author", "data"])}
    problem(owner.get(path), 400, "policy.no_other")
    problem(stranger.get(f"{path}?with={second['id']}"), 404, "policy.not_found")


# --- approvals ---

def test_an_older_word_does_not_come_back(owner, world):
    """A row of the newest word only: whoever sends an old approval again changes nothing."""
    old = world.approval(iat=1)
    policy = submit(owner, world, approvals=[world.approval()]).json()
    path = f"/v1/policies/{policy['id']}"
    withdrawn = world.approval(decision="withdraw", reason="no more")
    assert owner.post(f"{path}/approvals", {"approval": withdrawn}).status_code == 201
    owner.post(f"{path}/approvals", {"approval": old})
    assert owner.get(path).json()["approvals"] == [withdrawn]
    assert owner.post(f"{path}:explain", {}).json()["failed"] == "approval.withdrawn"


def test_a_flipped_row_changes_nothing_but_the_error(stack, owner, world):
    """Whoever has the database turns a decline into an approval: its signature does not follow."""
    policy = submit(owner, world).json()
    path = f"/v1/policies/{policy['id']}"
    declined = world.approval(decision="decline", reason="no")
    assert owner.post(f"{path}/approvals", {"approval": declined}).status_code == 201
    forged = copy.deepcopy(declined)
    words = {**json.loads(from_b64url(forged["jws"]["payload"])), "decision": "approve", "reason": None}
    forged["jws"]["payload"] = b64url(jcs(words))
    stack.sql("UPDATE policy.approval SET decision = 'approve', envelope = %s WHERE policy_id = %s",
              json.dumps(forged), policy["id"])
    explained = owner.post(f"{path}:explain", {}).json()
    assert explained["failed"] == "trust.signature"


# --- the schema ---

def test_schema_is_the_parsers(owner, world):
    import jsonschema
    schema = owner.get("/v1/policies/schema").json()
    assert schema == json.loads((ROOT / "proto/policy.schema.json").read_text()), "the file is what the server tells"
    check = jsonschema.Draft202012Validator(schema)
    check.check_schema(schema)
    assert list(check.iter_errors(world.policy)) == []
    for member, value in ([(member, None) for member in world.policy] +
                          [("name", "Ü"), ("max_runs", 0), ("max_runs", "1"), ("more", 1), ("deadline", 1.5),
                           ("root_filesystem", "magic"), ("inputs", [{}]), ("egress", {"mode": "none"})]):
        broken = {**world.policy, member: value}
        if value is None:
            del broken[member]
        refused = owner.post("/v1/policies?validate_only=true", {"policy": broken, "approvals": []}).status_code == 400
        assert refused and list(check.iter_errors(broken)), member
