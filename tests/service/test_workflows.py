# SPDX-License-Identifier: Apache-2.0
"""Workflows at the edge of a real stack: drafts in a space of two tenants, requests, votes, and how a request ends."""
import contextlib
import copy
from concurrent import futures
import datetime
import secrets
import time

import pytest

from graphs import app, dataset, graph, placeholder
from local_stack import Client, problem, unique, wait_for
from spaces import acme, found_together, globex, space  # noqa: F401 (fixtures)
from trust import Key, World, b64url, digest, rule


def make_app(party, world):
    """An application with the image of the policy."""
    return party.client.made("/v1/apps", {"name": unique("app"), "image": {
        name: world.policy["image"][name] for name in ("repository", "manifest")}})


def approve_build(party, record):
    assert party.client.post(f"/v1/tasks/{record['build']['task']}:approve").status_code == 200


def scope_of(party):
    return party.tenant["name"] + "-owner"


class Study:
    """A workflow of acme with one application; its policy wants the approvals of the parties that are named, and any of them declines."""

    def __init__(self, acme, globex, space, parties):
        self.acme, self.globex, self.space = acme, globex, space
        self.data = acme.client.made("/v1/datasets", {"name": unique("data"), "direction": "input"})["id"]
        self.share = acme.client.made(f"/v1/datasets/{self.data}/shares", {"space": space})
        self.world = World(space)
        self.world.policy["approval"]["rules"] += [
            rule(scope_of(party), [party.key.spki], objects=[self.data] if party is acme else []) for party in parties]
        self.app = make_app(acme, self.world)
        approve_build(acme, self.app)
        acme.client.made(f"/v1/apps/{self.app['id']}/shares", {"space": space})
        self.graph = graph({"patients": dataset(self.data), "count": app(self.app["id"])}, "patients.output > count.input")
        self.world.policy["slots"]["input/patients"] = {"commitment": digest(b"c"), "mode": "once", "owner": acme.key.spki}
        self.world.policy["inputs"] = [{"slot": "input/patients", "dataset": self.data, "version": 1, "file": "a.csv", "size": 1,
                                        "object": "obj" + self.data[3:], "digest": digest(b"d")}]
        self.record = acme.client.made("/v1/workflows", {"name": unique("study"), "space": space, "graph": self.graph})
        self.path = f"/v1/workflows/{self.record['id']}"

    def submit(self):
        answer = self.acme.client.post("/v1/policies", {"policy": self.world.policy, "approvals": [self.world.approval()]})
        assert answer.status_code in (200, 201), answer.text
        self.policy = answer.json()["id"]
        return self.policy

    def request(self, **changes):
        record = self.acme.client.get(self.path).json()
        body = {"version": record["version"], "policies": [{"object": "count", "policy": self.policy}], **changes}
        return self.acme.client.post(f"{self.path}:request", body, headers={"If-Match": record["etag"]})

    def vote(self, party, decision="approve", **changes):
        words = self.world.approval(party.key, **{"scope": scope_of(party), "decision": decision, **changes})
        return party.client.post(f"/v1/policies/{self.policy}/approvals", {"approval": words})

    def state(self, version=1, party=None):
        return (party or self.globex).client.get(f"{self.path}/versions/{version}").json()["state"]


@pytest.fixture
def study(acme, globex, space):
    made = Study(acme, globex, space, [globex])
    made.submit()
    return made


def test_a_draft_is_read_by_the_tenants_of_its_space(acme, globex, study):
    shown = globex.client.get(study.path)
    assert shown.status_code == 200 and shown.json() == acme.client.get(study.path).json()
    assert shown.json()["graph"] == study.graph and shown.json()["version"] == 1
    for party in (acme, globex):
        assert study.record["id"] in party.client.get(f"/v1/workflows?space={study.space}").text
        assert study.record["id"] in party.client.get("/v1/workflows").text
    for answer in (globex.client.put(study.path, {"name": "mine", "graph": study.graph}, study.record["etag"]),
                   globex.client.delete(study.path, study.record["etag"]),
                   globex.client.post(f"{study.path}:withdraw", {"version": 1})):
        problem(answer, 404, "workflow.not_found")


def test_who_is_not_in_the_space_sees_nothing(acme, globex):
    private = acme.client.made("/v1/workflows", {"name": unique("alone"), "graph": graph({})})
    path = f"/v1/workflows/{private['id']}"
    for answer in (globex.client.get(path), globex.client.get(f"{path}/diff"), globex.client.get(f"{path}/versions"),
                   globex.client.post(f"{path}:validate", {})):
        problem(answer, 404, "workflow.not_found")
    assert private["id"] not in globex.client.get("/v1/workflows").text
    problem(globex.client.get(f"/v1/workflows?space={acme.tenant['space']}"), 422, "workflow.wrong_space")
    assert acme.client.delete(path, private["etag"]).status_code == 204
    problem(acme.client.get(path), 404, "workflow.not_found")
    problem(globex.client.post("/v1/workflows", {"name": "x", "space": acme.tenant["space"], "graph": graph({})}), 422,
            "workflow.wrong_space")


def test_two_editors_at_once(acme, study):
    body = {"name": study.record["name"], "graph": study.graph}
    with futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda text: acme.client.put(study.path, {**body, "description": text}, study.record["etag"]), "ab"))
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    problem(next(answer for answer in answers if answer.status_code == 412), 412, "resource.changed")
    problem(acme.client.put(study.path, body), 428, "resource.if_match_missing")
    problem(acme.client.post("/v1/workflows", {**body, "space": study.space}), 409, "workflow.name_taken")


LABELS = ["é", "中文数据", "نص عربي", "\u202eevil", "😀" * 63, "a\nb\x1b[31m", "ﷺ" * 85, "0", "\\\"</script>", "\u2028"]


@pytest.mark.parametrize("label", LABELS)
def test_labels_are_any_text(acme, label):
    drawn = graph({"a": placeholder("dataset", label)}, a={"x": 1, "y": 2})
    record = acme.client.made("/v1/workflows", {"name": unique("labels"), "description": label, "graph": drawn})
    shown = acme.client.get(f"/v1/workflows/{record['id']}").json()
    assert shown["graph"] == drawn and shown["description"] == label


@pytest.mark.parametrize("change, pointer", [
    (lambda g: g["objects"]["a"].update(name="x" * 256), "/objects/a/name"),
    (lambda g: g["objects"]["a"].update(name=""), "/objects/a/name"),
    (lambda g: g["objects"]["a"].update(secret=1), "/objects/a/secret"),
    (lambda g: g["positions"].update(a={"x": "1", "y": 2}), "/positions/a/x"),
    (lambda g: g.update(v="strongroom-graph-2"), "/v"),
    (lambda g: g["edges"].update(e={"source": {"id": "a", "port": "output"}}), "/edges/e/target"),
    (lambda g: g["objects"].update({"A b": placeholder("app")}), "/objects/A b"),
])
def test_graphs_of_another_shape(acme, change, pointer):
    drawn = graph({"a": placeholder("dataset")})
    change(drawn)
    body = problem(acme.client.post("/v1/workflows", {"name": unique("bad"), "graph": drawn}), 400, "graph.invalid")
    assert pointer in [field["pointer"] for field in body["errors"]]


def ring(size):
    kinds = ("dataset", "app")
    return graph({f"n{i}": placeholder(kinds[i % 2]) for i in range(size)},
                 *(f"n{i}.output > n{(i + 1) % size}.input" for i in range(size)))


def test_a_huge_graph_with_a_cycle(acme):
    record = acme.client.made("/v1/workflows", {"name": unique("huge"), "graph": ring(10000)})
    faults = acme.client.made(f"/v1/workflows/{record['id']}:validate", {})
    assert not faults["valid"] and faults["count"] == 10001 and len(faults["faults"]) == 100
    problem(acme.client.post("/v1/workflows", {"name": unique("huger"), "graph": ring(10002)}), 400, "graph.invalid")


def test_validation_explains(acme, study):
    assert acme.client.made(f"{study.path}:validate", {}) == {
        "valid": True, "graph_hash": study.record["graph_hash"], "count": 0, "faults": []}
    gone = "dst_" + "0190f1c2" + "0" * 4 + "7000" + "8" + "0" * 15
    drawn = graph({"a": dataset(gone), "b": placeholder("app"), "c": dataset(study.data)}, "a.output > b.input",
                  "b.output > c.input", "b.output > a.input", "a.output > nobody.input")
    changed = acme.client.put(study.path, {"name": study.record["name"], "graph": drawn}, study.record["etag"]).json()
    codes = {fault["code"] for fault in acme.client.made(f"{study.path}:validate", {})["faults"]}
    assert codes == {"graph.not_shared", "graph.placeholder", "graph.wrong_direction", "graph.cycle", "graph.unknown_object"}
    answer = acme.client.post(f"{study.path}:request", {"version": 1, "policies": []}, headers={"If-Match": changed["etag"]})
    assert {field["code"] for field in problem(answer, 422, "workflow.invalid")["errors"]} <= codes


def test_a_share_that_was_taken_back(acme, globex, study):
    """A dataset of one's own, too: the others are to see what they agree to."""
    assert acme.client.delete(f"/v1/datasets/{study.data}/shares/{study.share['id']}", study.share["etag"]).status_code == 204
    for party in (acme, globex):
        faults = party.client.made(f"{study.path}:validate", {})["faults"]
        assert [(fault["code"], fault["detail"].split()[0]) for fault in faults] == [("graph.not_shared", study.data)]
    problem(study.request(), 422, "workflow.invalid")


def test_a_build_that_nobody_approved(acme, study):
    waiting = make_app(acme, study.world)
    acme.client.made(f"/v1/apps/{waiting['id']}/shares", {"space": study.space})
    study.graph["objects"]["count"] = app(waiting["id"])
    acme.client.put(study.path, {"name": study.record["name"], "graph": study.graph}, study.record["etag"])
    assert [fault["code"] for fault in acme.client.made(f"{study.path}:validate", {})["faults"]] == ["graph.build_not_approved"]
    approve_build(acme, waiting)
    assert study.request().status_code == 201


def test_both_approve(acme, globex, study):
    made = study.request()
    assert made.status_code == 201 and made.json()["state"] == "pending", made.text
    assert made.json()["policies"] == [{"object": "count", "policy": study.policy, "hash": study.world.hash}]
    assert study.vote(globex).status_code == 201
    version = globex.client.get(f"{study.path}/versions/1").json()
    assert version["state"] == "approved" and version["graph"] == study.graph and version["settled_at"]


def test_votes_that_came_before_the_request(globex, study):
    assert study.vote(globex).status_code == 201
    assert study.request().json()["state"] == "approved"


def test_one_decline_rejects(acme, globex, study):
    study.request()
    assert study.vote(globex, "decline", reason="not this year: \u202e\n").status_code == 201
    version = acme.client.get(f"{study.path}/versions/1").json()
    assert (version["state"], version["settled_by"]) == ("rejected", globex.key.spki)
    assert version["reason"] == "not this year: \u202e\n"
    problem(study.vote(globex), 409, "workflow.not_pending")
    again = study.request()  # the draft as it is, as another version
    assert again.status_code == 201 and again.json()["version"] == 2


def test_who_has_no_veto_rejected_nothing(acme, globex, study):
    """Acme's decline counts for nothing: what the version says is who rejected it, and why."""
    for scope in ("aside", "zone"):  # before and behind the rule with the veto, whatever the order
        study.world.policy["approval"]["rules"].append(rule(scope, [acme.key.spki, globex.key.spki], veto=False))
    rules = study.world.policy["approval"]["rules"]
    rules.insert(0, rules.pop())
    study.submit()
    study.request()
    for scope in ("aside", "zone"):
        assert study.vote(acme, "decline", scope=scope, reason="no veto").status_code == 201
    assert study.state() == "pending"
    assert study.vote(globex, "decline", reason="the veto").status_code == 201
    version = acme.client.get(f"{study.path}/versions/1").json()
    assert [version[name] for name in ("state", "settled_by", "reason")] == ["rejected", globex.key.spki, "the veto"]


def test_an_older_word_undoes_nothing(acme, globex, study):
    """Everybody in the space has the envelopes: none of them brings a withdrawn approval back."""
    path, now = f"/v1/policies/{study.policy}", int(time.time())
    older = study.world.approval(globex.key, scope=scope_of(globex), iat=now - 60)
    for envelope in (older, study.world.approval(globex.key, scope=scope_of(globex), decision="withdraw", iat=now), older,
                     study.world.approval(globex.key, scope=scope_of(globex), iat=now)):
        assert acme.client.post(f"{path}/approvals", {"approval": envelope}).status_code == 201
    assert study.request().json()["state"] == "pending"
    assert study.vote(globex, iat=now + 1).status_code == 201 and study.state() == "approved"


def test_withdrawal(acme, globex, study):
    study.request()
    answer = acme.client.post(f"{study.path}:withdraw", {"version": 1, "reason": "wrong data"})
    assert answer.status_code == 200 and answer.json()["reason"] == "wrong data"
    assert study.state() == "withdrawn"
    problem(study.vote(globex), 409, "workflow.not_pending")
    problem(acme.client.post(f"{study.path}:withdraw", {"version": 1}), 409, "workflow.not_pending")
    assert study.request().json()["state"] == "pending"
    assert study.vote(globex).status_code == 201 and study.state(2) == "approved" and study.state(1) == "withdrawn"


def end_of(stack, version_of, seconds):
    """Moves the end of a request, as time would."""
    with contextlib.closing(stack.connect()) as db, db:
        db.cursor().execute("UPDATE policy.workflow_version SET expires_at = now() + make_interval(secs => %s) WHERE workflow_id = %s",
                            (seconds, version_of))


def test_what_was_declined_is_no_new_question(globex, study):
    """The word stands for the document that it was said of, in whichever version: at once, and until there is another document."""
    study.request()
    study.vote(globex, "decline", reason="not this one")
    for version in (2, 3):
        again = study.request().json()
        assert (again["version"], again["state"], again["reason"]) == (version, "rejected", "not this one")
        problem(study.vote(globex, iat=int(time.time()) + 1), 409, "workflow.not_pending")
    study.world.policy["max_runs"] += 1
    study.submit()
    assert study.request().json()["state"] == "pending"
    assert study.vote(globex).status_code == 201 and study.state(4) == "approved"


def test_expiry(stack, acme, globex, study):
    study.request()
    end_of(stack, study.record["id"], -1)
    assert study.state() == "expired"
    problem(study.vote(globex), 409, "workflow.not_pending")
    problem(acme.client.post(f"{study.path}:withdraw", {"version": 1}), 409, "workflow.not_pending")
    assert study.request().json()["version"] == 2  # the one that ended is not in the way
    states = [item["state"] for item in globex.client.get(f"{study.path}/versions").json()["items"]]
    assert states == ["pending", "expired"]


@pytest.mark.parametrize("when", ["yesterday", "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
def test_ends_that_are_none(study, when):
    problem(study.request(expires_at=when), 400, "workflow.bad_expiry")


def test_an_end_of_its_own(study):
    end = (datetime.datetime.utcnow() + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert study.request(expires_at=end).json()["expires_at"] == end


def test_a_request_is_for_the_draft_that_was_seen(acme, study):
    record = acme.client.get(study.path).json()
    body = {"version": record["version"], "policies": [{"object": "count", "policy": study.policy}]}
    problem(acme.client.post(f"{study.path}:request", body), 428, "resource.if_match_missing")
    acme.client.put(study.path, {"name": record["name"], "graph": study.graph}, record["etag"])
    problem(acme.client.post(f"{study.path}:request", body, headers={"If-Match": record["etag"]}), 412, "resource.changed")
    assert study.request().status_code == 201
    problem(study.request(), 409, "workflow.pending")
    problem(study.request(version=1), 409, "workflow.version_taken")
    problem(acme.client.delete(study.path, acme.client.get(study.path).json()["etag"]), 409, "workflow.in_use")


def test_final_versions_do_not_change(stack, acme, globex, study):
    study.request()
    study.vote(globex)
    frozen = globex.client.get(f"{study.path}/versions/1").json()
    record = acme.client.get(study.path).json()
    drawn = graph({**study.graph["objects"], "more": placeholder("dataset")}, "patients.output > count.input")
    assert acme.client.put(study.path, {"name": record["name"], "graph": drawn}, record["etag"]).status_code == 200
    study.vote(globex, "decline")  # approved is approved; what rests on the vote asks for it again
    assert globex.client.get(f"{study.path}/versions/1").json() == frozen
    diff = globex.client.get(f"{study.path}/diff").json()
    assert (diff["from"], diff["to"]) == ("1", "draft")
    assert [change["text"] for change in diff["changes"]] == ['more "Later": a placeholder (dataset)']
    problem(globex.client.get(f"{study.path}/diff?from=7"), 404, "workflow.version_not_found")
    problem(globex.client.get(f"{study.path}/diff?to=x"), 400, "workflow.bad_version")
    with contextlib.closing(stack.connect()) as db, db:
        cursor = db.cursor()
        cursor.execute("SELECT has_column_privilege('policy', 'policy.workflow_version', column_name, 'UPDATE'), column_name "
                       "FROM information_schema.columns WHERE table_schema = 'policy' AND table_name = 'workflow_version'")
        assert {name for may, name in cursor.fetchall() if may} == {"state", "settled_at", "settled_by", "reason"}


@pytest.mark.parametrize("change, code", [
    (lambda s: s.world.policy.update(inputs=[], slots={k: v for k, v in s.world.policy["slots"].items() if "/" not in k}),
     "workflow.policy_differs"),
    (lambda s: s.world.policy["image"].update(manifest=digest(b"other")), "workflow.policy_differs"),
    (lambda s: s.world.policy["image"].update(repository="acme/other"), "workflow.policy_differs"),
    (lambda s: s.world.policy["inputs"][0].update(dataset="dst" + s.record["id"][3:]), "workflow.policy_differs"),
    (lambda s: s.world.policy.update(space=s.acme.tenant["space"]), "workflow.wrong_space"),
    (lambda s: s.world.policy.update(egress={"mode": "direct", "domains": ["a.example:443"], "roots": None}), "app.domain_not_approved"),
])
def test_a_policy_that_says_something_else(study, change, code):
    change(study)
    study.submit()
    problem(study.request(), 422, code)


def test_the_owner_of_what_is_in_it_is_asked(acme, globex, study):
    """The dataset of globex in a workflow of acme: a policy without a rule for it asks nobody of globex."""
    theirs = globex.client.made("/v1/datasets", {"name": unique("data"), "direction": "input"})["id"]
    globex.client.made(f"/v1/datasets/{theirs}/shares", {"space": study.space})
    study.graph["objects"]["patients"] = dataset(theirs)
    acme.client.put(study.path, {"name": study.record["name"], "graph": study.graph}, study.record["etag"])
    study.world.policy["inputs"][0]["dataset"] = theirs
    study.submit()
    problem(study.request(), 422, "workflow.owner_not_asked")
    study.world.policy["approval"]["rules"][1]["objects"] = [theirs]
    study.submit()
    assert study.request().json()["state"] == "pending"
    assert study.vote(globex).status_code == 201 and study.state() == "approved"


def test_a_rule_of_ones_own_keys_opens_nothing(acme, globex, study):
    """Acme answers for globex's dataset by itself: the run still waits for globex, who sees what it would open its data for."""
    theirs = globex.client.made("/v1/datasets", {"name": unique("data"), "direction": "input"})["id"]
    globex.client.made(f"/v1/datasets/{theirs}/shares", {"space": study.space})
    study.graph["objects"]["patients"] = dataset(theirs)
    acme.client.put(study.path, {"name": study.record["name"], "graph": study.graph}, study.record["etag"])
    study.world.policy["inputs"][0]["dataset"] = theirs
    study.world.policy["slots"]["input/patients"]["owner"] = globex.key.spki
    study.world.policy["approval"]["rules"][1].update(of=[acme.key.spki], objects=[theirs])
    study.submit()
    study.request()
    assert study.vote(acme, scope=scope_of(globex)).status_code == 201 and study.state() == "approved"
    order = {"policy": study.policy, "order": study.world.order(), "grants": study.world.grants()}
    shown = globex.client.get(f"/v1/orders/{acme.client.made('/v1/orders', order)['id']}").json()
    assert shown["missing"] == [{"slot": "input/patients", "owner": globex.key.spki}]


@pytest.mark.parametrize("policies, code", [
    (lambda s: [], "workflow.policies_missing"),
    (lambda s: [{"object": "count", "policy": s.policy}] * 2, "workflow.policies_missing"),
    (lambda s: [{"object": "patients", "policy": s.policy}], "workflow.no_such_app"),
    (lambda s: [{"object": "count", "policy": "pol" + s.record["id"][3:]}], "policy.not_found"),
])
def test_policies_that_are_not_there(study, policies, code):
    problem(study.request(policies=policies(study)), 422, code)


def test_only_keys_that_the_policy_names_vote(globex, study):
    study.request()
    now = int(time.time())
    problem(study.vote(globex, spki=study.acme.key.spki), 422, "trust.spki_mismatch")
    problem(study.vote(globex, policy=digest(b"other")), 422, "approval.wrong_policy")
    problem(study.vote(globex, terms=digest(b"other")), 422, "approval.wrong_terms")
    problem(study.vote(globex, scope="nobody", terms=digest(b"x")), 422, "approval.wrong_scope")
    problem(study.vote(globex, exp=now - 1), 422, "approval.expired")
    words = study.world.approval(Key(), scope=scope_of(globex))
    problem(globex.client.post(f"/v1/policies/{study.policy}/approvals", {"approval": words}), 422, "approval.not_a_party")
    assert study.state() == "pending"


def test_an_approver_who_was_revoked_between_request_and_vote(stack, acme, globex, study):
    """The API key behind the vote is revoked: nobody votes with it, whatever was signed."""
    study.request()
    digits, secret = "0190f1c2aaaa7bbb8ccc" + secrets.token_hex(6), b64url(secrets.token_bytes(32))
    text = f"sr_{digits}_{secret}"
    key = globex.client.made("/v1/keys", {"id": f"key_{digits}", "name": unique("voter"), "hash": digest(text.encode())})
    voter = Client(stack, text)
    assert voter.get(study.path).status_code == 200
    assert globex.client.delete(f"/v1/keys/{key['id']}", key["etag"]).status_code == 200
    wait_for(lambda: voter.get(study.path).status_code == 401, "the voter's token to die", 10)
    revoked = copy.copy(globex)
    revoked.client = voter
    problem(study.vote(revoked), 401, "auth.revoked")
    assert study.state() == "pending"


def test_a_tenant_that_left_between_request_and_vote(acme, globex):
    gone = found_together(acme, globex)["id"]
    study = Study(acme, globex, gone, [globex])
    study.submit()
    study.request()
    assert globex.client.delete(f"/v1/spaces/{gone}/members/{globex.tenant['id']}").status_code == 204
    globex.client.tokens.clear()
    problem(study.vote(globex), 404, "policy.not_found")
    assert study.state(party=acme) == "pending"


def test_votes_and_the_withdrawal_at_once(acme, globex, space):
    """Whoever comes first: exactly one end, and the answers say which."""
    study = Study(acme, globex, space, [acme, globex])
    study.submit()
    for version in range(1, 9):
        study.request()
        study.vote(acme)
        with futures.ThreadPoolExecutor(2) as pool:
            vote = pool.submit(study.vote, globex)
            back = pool.submit(acme.client.post, f"{study.path}:withdraw", {"version": version})
        state = study.state(version)
        if state == "approved":
            problem(back.result(), 409, "workflow.not_pending")
            assert vote.result().status_code == 201
        else:
            assert state == "withdrawn" and back.result().status_code == 200
            assert vote.result().status_code in (201, 409)
        # the next version waits for votes that are newer than these
        study.world.policy["max_runs"] += 1
        study.submit()


def test_two_votes_at_once_settle(acme, globex, space):
    for _ in range(4):
        study = Study(acme, globex, space, [acme, globex])
        study.submit()
        study.request()
        with futures.ThreadPoolExecutor(2) as pool:
            assert [answer.status_code for answer in pool.map(study.vote, (acme, globex))] == [201, 201]
        assert study.state() == "approved"


# --- what a workflow demands of its policies ---

def test_policies_of_a_workflow_pin_what_it_demands(acme, globex, study):
    document = {"v": "strongroom-constraints-1", "scope": "workflow", "subject": study.record["id"], "name": "small", **{member: None for member in (
        "images", "templates", "runners", "recipients", "evidence", "egress", "gates", "not_after")}, "limits": {"pids": 64}}
    problem(globex.client.post("/v1/constraints", {"document": document}), 404, "workflow.not_found")
    made = acme.client.made("/v1/constraints", {"document": document})
    assert globex.client.get(f"/v1/constraints/{made['id']}").json()["hash"] == made["hash"]
    problem(study.request(), 422, "constraint.left_out")
    study.world.policy["constraints"] = [{"scope": "workflow", "subject": study.record["id"], "hash": made["hash"]}]
    study.submit()
    assert study.request().status_code in (200, 201, 202)
    study.world.policy["limits"]["pids"] = 65
    problem(acme.client.post("/v1/policies", {"policy": study.world.policy, "approvals": [study.world.approval()]}), 422,
            "constraint.limit")
