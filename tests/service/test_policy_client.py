# SPDX-License-Identifier: Apache-2.0
"""strongroom policy: what a document says, what holds of it, what changed, through the client."""
import copy
import json

import pytest
from cryptography.hazmat.primitives import serialization

from client_project import Project
from local_stack import BUILD, LocalStack
from trust import World, digest, jcs


@pytest.fixture(scope="module")
def stack():
    with LocalStack(["postgres", "redis", "certreg", "policy", "edge"]) as running:
        yield running


@pytest.fixture
def person(stack, tmp_path):
    project = Project(BUILD / "bin/strongroom", stack, tmp_path)
    project.configure()
    return project


@pytest.fixture
def world(stack):
    owner = stack.client("acme-owner")
    made = World(owner.space())
    made.record = owner.made("/v1/policies", {"policy": made.policy, "approvals": [made.approval()]})
    return made


def written(person, name, document):
    (person.folder / name).write_text(json.dumps(document))
    return name


def results(person, *arguments, code=0):
    done = person.run("--json", *arguments, check=False)
    assert done.returncode == code, done.stderr
    return [line for line in map(json.loads, done.stdout.splitlines()) if line["type"] == "result"]


def test_list_and_show(person, world):
    assert world.record["id"] in person.run("policy", "list").stdout
    shown, = results(person, "policy", "show", world.record["id"])
    assert shown["hash"] == world.hash == digest(jcs(shown["record"]["document"]))
    assert person.run("policy", "show", written(person, "p.json", world.policy)).stdout


def test_a_text_is_not_what_the_server_calls_it(stack, person, world):
    """Whoever has the database alters the document below its hash: the client computes that itself, and signs nothing."""
    key = person.folder / "own.key"
    key.write_bytes(world.author.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                       serialization.NoEncryption()))
    stack.sql("UPDATE policy.policy SET document = replace(document, '\"max_runs\":100', '\"max_runs\":101') WHERE id = %s",
              world.record["id"])
    policy = world.record["id"]
    for command in (("policy", "show", policy), ("policy", "explain", policy), ("approve", policy, "--key", "own.key", "--yes"),
                    ("decline", policy, "--key", "own.key", "--reason", "x", "--yes")):
        refused = person.run(*command, check=False)
        assert refused.returncode != 0 and "policy.other_hash" in refused.stderr, (command, refused.stderr)
    assert len(stack.sql("SELECT 1 FROM policy.approval WHERE policy_id = %s", world.record["id"])) == 1


def test_explain(person, world):
    *clauses, whole = results(person, "policy", "explain", world.record["id"])
    assert whole["result"] == "unknown" and whole["policy"] == world.hash
    assert {c["clause"]: c["result"] for c in clauses}["approval.author"] == "pass"
    evidence = written(person, "evidence.json", {"class": "none", "initdata": {"template": {"id": "large", "version": 1}}})
    *clauses, whole = results(person, "policy", "explain", world.record["id"], "--evidence", evidence, code=6)
    assert whole["failed"] == "policy.wrong_template"
    *_, whole = results(person, "policy", "explain", written(person, "p.json", world.policy))
    assert whole["policy"] == world.hash
    text = person.run("policy", "explain", world.record["id"])
    assert "small version 1" in text.stdout and "the operator of this server can read" in text.stderr


def test_validate(person, world):
    *_, whole = results(person, "policy", "validate", written(person, "p.json", world.policy), code=6)
    assert whole["failed"] == "approval.quorum"  # a file has no approvals yet
    world.policy["max_runs"] = "many"
    refused = person.run("policy", "validate", written(person, "p.json", world.policy), check=False)
    assert refused.returncode == 1 and "policy.invalid" in refused.stderr and "/max_runs" in refused.stderr


def test_diff(person, world):
    changed = {**copy.deepcopy(world.policy), "max_runs": 7}
    change, = results(person, "policy", "diff", world.record["id"], written(person, "p.json", changed), code=3)
    assert (change["path"], change["from"], change["to"], change["approvals"]) == ("/max_runs", 100, 7, ["author"])
    assert results(person, "policy", "diff", world.record["id"], world.record["id"]) == []


def test_predict(person, world):
    """The hash, without anything that runs; a template that the trust file does not know is refused."""
    trust = json.loads((person.folder / "trust.json").read_text())
    agent = digest(b"encrypt-output")
    trust["templates"] = {"small": {"version": 1, "agent": agent}}
    (person.folder / "trust.json").write_text(json.dumps(trust))
    person.configure()
    predicted, = results(person, "policy", "predict", written(person, "p.json", world.policy))
    assert predicted["hash"] == world.hash and predicted["agent_expected"] and "author" in predicted["terms"]
    world.policy["measurements"]["encrypt-output"] = digest(b"another")
    predicted, = results(person, "policy", "predict", written(person, "p.json", world.policy), code=7)
    assert not predicted["agent_expected"]
    world.policy["template"]["id"] = "unheard-of"
    refused = person.run("policy", "predict", written(person, "p.json", world.policy), check=False)
    assert refused.returncode != 0 and "trust.no_template" in refused.stderr
