# SPDX-License-Identifier: Apache-2.0
"""Workflows through the client: two tenants with keys and profiles of their own, a file, a picture, requests and votes."""
import json
import time

from cryptography.hazmat.primitives import serialization
import pytest

from local_stack import LocalStack, unique
from test_client_identity import Person, program  # pylint: disable=unused-import
from trust import Key, World, digest, rule

PARTS = ["postgres", "redis", "certreg", "policy", "edge"]


@pytest.fixture(scope="module")
def stack():
    with LocalStack(PARTS) as running:
        yield running


def key_of(person):
    key = Key()
    key.private = serialization.load_pem_private_key(person.file("own.key").read_bytes(), None)
    return key


class Study:
    """The tenants of acme and globex in a space, with a dataset, an application and the file of a workflow."""

    def __init__(self, stack, acme, globex):
        self.client, self.acme, self.globex, self.name = stack.client("acme-owner"), acme, globex, unique("study")
        self.keys = {person: person.certificate() for person in (acme, globex)}
        acme.run("peer", "add", "globex", "--spki", self.keys[globex])
        globex.run("peer", "add", "acme", "--spki", self.keys[acme])
        self.space = acme.json("space", "create", self.name)[0]["id"]
        acme.run("space", "invite", self.name, "--to", "globex", "--key", "own.key", "--out", "invitation")
        globex.run("space", "accept", str(acme.file("invitation")), "--key", "own.key")
        self.data = self.client.made("/v1/datasets", {"name": self.name, "direction": "input"})["id"]
        self.client.made(f"/v1/datasets/{self.data}/shares", {"space": self.space})
        self.image = {"repository": "acme/app", "manifest": digest(self.name.encode())}
        app = acme.json("app", "create", self.name, "--image", "{repository}@{manifest}".format(**self.image))[0]
        self.app = app["id"]
        acme.run("task", "approve", app["build"]["task"])
        acme.run("app", "share", self.app, "--space", self.name)
        self.file().write_text(f"""
name: {self.name}
space: {self.name}
description: counts
objects:
  patients: {{name: "Patients é 中", dataset: {self.name}}}
  count: {{app: {self.name}}}
edges:
  - patients -> count
positions: {{count: {{x: 10, y: -3}}}}
""")

    def file(self, name="study.yml"):
        return self.acme.file(name)

    def policy(self, **changes):
        """A policy of acme's that needs globex' word; its id."""
        world = World(self.space)
        world.author = key_of(self.acme)
        world.policy.update(name=self.name, parties={
            "authors": [self.keys[self.acme]], "approvers": [], "runners": [self.keys[self.acme]],
            "recipients": [self.keys[self.globex]]}, **changes)
        world.policy["image"].update(self.image)
        world.policy["slots"] = {slot: {"commitment": digest(slot.encode()), "mode": "once", "owner": self.keys[self.acme]}
                                 for slot in ("image", "output", "input/patients")}
        world.policy["inputs"] = [{"slot": "input/patients", "dataset": self.data, "version": 1, "file": "a.csv", "size": 1,
                                   "object": "obj" + self.data[3:], "digest": digest(b"d")}]
        world.policy["approval"]["rules"].append(rule("globex-owner", [self.keys[self.globex]], objects=[self.app]))
        self.world = world
        return self.client.made("/v1/policies", {"policy": world.policy, "approvals": [world.approval()]})["id"]


@pytest.fixture
def study(stack, program, tmp_path):  # pylint: disable=redefined-outer-name
    return Study(stack, *(Person(program, stack, tmp_path / name, f"{name}-owner") for name in ("acme", "globex")))


def test_a_file_becomes_a_draft(study):
    acme, globex = study.acme, study.globex
    made = acme.json("workflow", "create", "study.yml")[0]
    assert made["space"] == study.space and made["description"] == "counts"
    assert made["graph"]["objects"]["patients"] == {
        "name": "Patients é 中", "description": None, "ref": {"dataset": {"dataset_id": study.data}}}
    assert made["graph"]["edges"] == {"e1": {"source": {"id": "patients", "port": "output"},
                                             "target": {"id": "count", "port": "input"}}}
    assert made["graph"]["positions"] == {"count": {"x": 10, "y": -3}}
    shown = globex.run("workflow", "show", study.name).stdout
    assert "(patients) --input--> |  count  |" in shown and 'patients: "Patients é 中", dataset ' + study.data in shown
    assert study.name in globex.run("workflow", "list", "--space", study.name).stdout
    acme.run("workflow", "validate", study.name)
    study.file("graph.json").write_text(json.dumps(made["graph"]))
    assert acme.json("workflow", "edit", study.name, "graph.json")[0]["graph_hash"] == made["graph_hash"]
    assert globex.run("workflow", "delete", study.name, check=False).returncode == 1
    assert acme.run("workflow", "delete", study.name).returncode == 0


@pytest.mark.parametrize("change, code", [
    (("app: ", "application: "), "graph_file.invalid"),
    (("patients -> count", "patients, count"), "graph_file.invalid"),
    (("objects:", "things:"), "graph_file.invalid"),
    (("dataset: ", "app: x, dataset: "), "graph_file.invalid"),
    (("dataset: ", "dataset: nothing-of-"), "client.not_found"),
    (("x: 10", "x: ten"), "graph.invalid"),
    (("count: {", "Count: {"), "graph.invalid"),
    (("objects:", "objects: ["), "plan.syntax"),
])
def test_files_that_say_something_else(study, change, code):
    study.file().write_text(study.file().read_text().replace(*change))
    done = study.acme.run("workflow", "create", "study.yml", check=False)
    assert done.returncode != 0 and code in done.stderr, done.stderr


def test_validation_is_told(study):
    study.file().write_text(study.file().read_text() + "  - count -> patients\n")  # behind positions: another edge
    text = study.file().read_text().replace("positions: {count: {x: 10, y: -3}}\n", "")
    study.file().write_text(text)
    study.acme.run("workflow", "create", "study.yml")
    done = study.acme.refused("workflow.invalid", 1, "workflow", "validate", study.name)
    for code in ("graph.wrong_direction", "graph.cycle"):
        assert code in done.stdout


def test_the_vote(study):
    acme, globex = study.acme, study.globex
    acme.run("workflow", "create", "study.yml")
    policy = study.policy()
    asked = acme.json("workflow", "request", study.name, f"count={policy}", "--days", "3")[0]
    assert asked["state"] == "pending" and asked["policies"][0]["hash"] == study.world.hash
    globex.run("peer", "remove", "acme")
    globex.refused("peer.unpinned", 6, "approve", study.name, "--key", "own.key", "--yes")
    globex.run("peer", "add", "acme", "--spki", study.keys[acme])
    globex.refused("client.not_confirmed", 1, "approve", study.name, "--key", "own.key")
    assert acme.json("workflow", "versions", study.name)[0]["state"] == "pending"
    done = globex.run("approve", study.name, "--key", "own.key", "--yes").stdout
    for words in ("(patients) --input--> |  count  |", study.world.hash, "output for   you", "started by   acme",
                  "the operator of the server can read the image", f"{policy}  globex-owner  approve",
                  f"reads        {study.data} version 1, a.csv, {digest(b'd')}, key of acme"):
        assert words in done, words
    assert acme.json("workflow", "versions", study.name)[0]["state"] == "approved"
    judged = acme.json("workflow", "show", study.name, "--version", "1")[0]
    assert judged["state"] == "approved" and judged["graph"]["objects"].keys() == {"patients", "count"}


def test_a_decline_and_a_withdrawal(study):
    acme, globex = study.acme, study.globex
    acme.run("workflow", "create", "study.yml")
    policy = study.policy()
    acme.run("workflow", "request", study.name, f"count={policy}")
    globex.refused("usage.option", 2, "decline", study.name, "--key", "own.key", "--yes")
    globex.run("decline", study.name, "--key", "own.key", "--reason", "not with\nthis \u202edata", "--yes")
    line = acme.run("workflow", "versions", study.name).stdout
    assert "rejected" in line and "not with?this ???data" in line
    acme.run("workflow", "request", study.name, f"count={study.policy(max_runs=7)}")
    assert "withdrawn" in acme.run("workflow", "withdraw", study.name, "--reason", "later").stdout
    done = globex.refused("workflow.not_pending", 1, "approve", study.name, "--key", "own.key", "--yes")
    assert "version 2" not in done.stdout


def test_what_was_agreed_to_counts_for_the_next_version(study):
    """globex answers for the application: more runs of it are nothing new to globex, another program is."""
    acme, globex = study.acme, study.globex
    acme.run("workflow", "create", "study.yml")
    acme.run("workflow", "request", study.name, f"count={study.policy()}")
    globex.run("approve", study.name, "--key", "own.key", "--yes")
    study.file().write_text(study.file().read_text().replace("Patients", "People"))
    acme.run("workflow", "edit", study.name, "study.yml")
    assert acme.run("workflow", "diff", study.name).stdout == '~ patients: name "Patients é 中" is now "People é 中"\n'
    more = acme.json("workflow", "request", study.name, f"count={study.policy(max_runs=9)}")[0]
    assert (more["version"], more["state"]) == (2, "approved")
    other = acme.json("workflow", "request", study.name, f"count={study.policy(deadline=int(time.time()) + 999, max_runs=3)}")[0]
    assert (other["version"], other["state"]) == (3, "approved")
    process = {"argv": ["/bin/other"], "env": {}, "cwd": "/"}
    assert acme.json("workflow", "request", study.name, f"count={study.policy(process=process)}")[0]["state"] == "pending"
    globex.run("approve", study.name, "--key", "own.key", "--yes")
    globex.run("approve", study.name, "--key", "own.key", "--yes", "--take-back", "--reason", "a mistake")
    assert acme.json("workflow", "versions", study.name)[0]["state"] == "approved"  # settled; what rests on it asks again
