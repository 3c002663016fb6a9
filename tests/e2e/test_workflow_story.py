# SPDX-License-Identifier: Apache-2.0
"""docs/workflows.md, played: globex has data, acme an algorithm, initech is to get the result; each its own tenant, profile and
keys, and everything by the command line, as the page prints it. On the way a request expires, one is withdrawn and one is declined."""
import datetime
import json
import os
import subprocess

import pytest

from client_project import Project
from local_stack import BUILD, unique, wait_for
from printed import Page
from project import shell
from test_release import Party, give_data, task_of
from trust import Key

PROGRAM = shell("cat /input/*/* | wc -l")
PAGE = Page("workflows.md")


class Receiver(Project):
    """A new tenant's owner with a key, and no project."""

    def __init__(self, stack, folder):
        (folder / "operator").mkdir(parents=True)
        super().__init__(BUILD / "bin/strongroom", stack, folder)
        operator = Project(BUILD / "bin/strongroom", stack, folder / "operator")
        operator.configure("system-operator")
        self.name = unique("initech")
        operator.run("tenant", "create", self.name, "--owner", "first", "--out", "owner.invitation")
        self.run("configure", "--invitation", str(operator.folder / "owner.invitation"), "--trust", "trust.json")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                        "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", folder / "own.key", "-out", folder / "own.crt",
                        "-subj", "/CN=initech"], check=True, stderr=subprocess.DEVNULL)
        self.run("cert", "register", "--certificate", "own.crt", "--key", "own.key")
        self.key = "own.key"
        self.spki = results(self, "peer", "show", "--certificate", "own.crt")[0]["spki"]


def results(party, *arguments):
    """Of a command, as programs see them."""
    lines = [json.loads(line) for line in party.run("--json", *arguments).stdout.splitlines()]
    return [line for line in lines if line["type"] == "result"]


class Story:
    """The three of them in a space: data, program and workflow are there, nothing is agreed to."""

    def __init__(self, stack, folder):
        self.acme, self.globex = (Party(stack, folder / name, f"{name}-owner") for name in ("acme", "globex"))
        self.initech, self.name = Receiver(stack, folder / "initech"), unique("study")
        self.mine = {"study": self.name, "count": self.name}
        self.meet()
        offers = self.acme.folder / "offers"
        offers.mkdir()
        give_data(self.globex, self.name, offers)
        self.data = self.globex.outputs("get-data-projection")["dataset_id"]
        self.type(self.globex, "dataset share", patients=self.data)
        self.write_program()
        self.write_workflow()

    def type(self, party, command, *more, **mine):
        """The page's one line that begins so, in the place of this party; what it results in."""
        line, = PAGE.lines(command, {**self.mine, "own.key": party.key, **mine})
        return results(party, *line, *more)

    def meet(self):
        parties = {"acme": self.acme, "globex": self.globex, "initech": self.initech}
        keys = {name: party.spki if party is self.initech else party.certificate()["spki"] for name, party in parties.items()}
        for name, party in parties.items():
            for other, spki in keys.items():
                if other != name:
                    self.type(party, "peer add", globex=other, **{"sha256:…": spki})
        self.type(self.acme, "space create")
        for name in ("globex", "initech"):
            self.type(self.acme, "space invite", globex=name)
            self.type(parties[name], "space accept", **{"acme/globex.invitation": str(self.acme.folder / "globex.invitation")})
            (self.acme.folder / "globex.invitation").unlink()

    def write_program(self):
        """The policy, as the plan has it: globex' data, and the output under a key that is initech's alone."""
        acme = self.acme
        acme.plan = acme.plan.replace(task_of(acme.plan, "get-data-projection"), "")
        self.type(self.initech, "offer --output", **{"result.json": str(acme.folder / "offers/result.json")})
        acme.plan = acme.plan.replace("      prepare-policy:\n", "      prepare-policy:\n        offers: offers\n")
        acme.in_space(self.name, "set-sandbox-specs", "prepare-policy")
        acme.write_plan(PROGRAM)
        self.type(acme, "run --until")
        image = acme.outputs("dockerize-algo")
        app, = self.type(acme, "app create", **{"acme/count@sha256:…": f"{image['repository']}@{image['manifest']}"})
        self.type(acme, "task approve", **{"tsk_…": app["build"]["task"]})
        self.type(acme, "app share")

    def write_workflow(self):
        text, = PAGE.blocks("yaml")
        for printed, ours in ((": study\n", f": {self.name}\n"), ("app: count", f"app: {self.name}"), ("dst_…", self.data), ("2025", "中")):
            assert printed in text
            text = text.replace(printed, ours)
        (self.acme.folder / "study.yml").write_text(text)
        self.type(self.acme, "workflow create")
        self.type(self.acme, "workflow validate")

    @property
    def policy(self):
        return self.acme.outputs("upload-policy")["policy_id"]

    def request(self):
        asked, = self.type(self.acme, "workflow request", **{"count=pol_…": f"count={self.policy}"})
        return asked

    def states(self):
        return [line["state"] for line in results(self.acme, "workflow", "versions", self.name)][::-1]

    def vote(self, party, verb, *more, check=True):
        return party.run(verb, self.name, "--key", party.key, "--yes", *more, check=check)


@pytest.fixture(scope="module")
def story(stack, tmp_path_factory):
    told = Story(stack, tmp_path_factory.mktemp("story"))
    yield told
    told.acme.delete_sandbox()


def refused(done, code):
    assert done.returncode != 0 and code in done.stderr, done.stderr


def test_a_request_that_nobody_answers_expires(story):
    end = datetime.datetime.utcnow() + datetime.timedelta(seconds=3)
    asked, = results(story.acme, "workflow", "request", story.name, f"count={story.policy}", "--expires-at", end.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert asked["state"] == "pending"
    wait_for(lambda: story.states() == ["expired"], "the request to expire", 60)
    refused(story.vote(story.globex, "approve", check=False), "workflow.not_pending")


def test_a_request_is_withdrawn(story):
    assert story.request()["state"] == "pending"
    story.vote(story.initech, "approve")
    story.acme.run("workflow", "withdraw", story.name, "--reason", "the wrong program")
    assert story.states() == ["expired", "withdrawn"]
    refused(story.vote(story.globex, "approve", check=False), "workflow.not_pending")


def test_a_request_is_declined(story):
    assert story.request()["state"] == "pending"
    story.type(story.globex, "decline", "--yes")
    assert story.states() == ["expired", "withdrawn", "rejected"]
    last = results(story.initech, "workflow", "versions", story.name)[0]
    assert last["reason"] == "not with postcodes in it"
    refused(story.vote(story.initech, "approve", check=False), "workflow.not_pending")


def test_what_was_declined_stays_declined(story):
    """The same policy again is no new question."""
    assert story.request()["state"] == "rejected"


def test_all_agree(story):
    """To another policy, as they read it: each sees the others by name."""
    story.acme.write_plan(PROGRAM, wall_seconds=60)
    story.acme.run("run", "--until", "upload-policy")
    assert story.request()["state"] == "pending"
    read = story.vote(story.globex, "approve").stdout
    for words in ("(patients) --input--> |  count  |", "started by   acme", f"reads        {story.data} version 1", "key of you"):
        assert words in read, read
    assert story.states()[-1] == "pending"
    story.type(story.initech, "approve", "--yes")
    assert story.states()[-1] == "approved"
    refused(story.vote(story.acme, "decline", check=False), "usage.option")


def test_the_result_of_what_all_agreed_to(story):
    """acme's client goes on where it stopped, with the policy that they approved, and waits for the keys of the other two. What
    comes back is initech's to open: not even acme, whose run it was, can."""
    acme, initech, said = story.acme, story.initech, story.acme.folder / "stderr"
    with open(said, "w", encoding="utf-8") as err, subprocess.Popen(
            [acme.program, "run"], cwd=acme.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
            env={**os.environ, "XDG_CONFIG_HOME": str(acme.config)}) as client:
        run = wait_for(lambda: client.poll() is not None or acme.state()["tasks"].get("execute-policy", {}).get("work", {}).get(
            "create-run"), "a run", 120)
        assert client.poll() is None, said.read_text()
        refused(initech.run("output", "fetch", run, check=False), "output.not_released")
        for party in story.globex, initech:
            story.type(party, "release", "--accept-evidence", "none", "--yes", **{"run_…": run})
        assert client.wait(180) == 0, said.read_text()
    assert f"strongroom output fetch {run}" in said.read_text() and not (acme.folder / "output/stdout").exists()
    assert acme.receipt()["run"] == run and acme.receipt()["recipients"] == [initech.spki]
    assert acme.receipt()["policy"] == results(acme, "workflow", "versions", story.name)[0]["policies"][0]["hash"]
    story.type(initech, "output fetch", **{"run_…": run})
    assert (initech.folder / "output/stdout").read_text().strip() == "3"
    story.ran = run


def test_nobody_opens_what_is_anothers(story):
    """Each has the ciphertext for the asking, and the others' sealed files are no use: not the key, not what remembers the machine."""
    secret, = (story.initech.folder / "keys").glob("*-openings.jwe")
    for party in story.acme, story.globex:
        refused(party.run("output", "fetch", story.ran, check=False), "output.not_released")
        for file in secret, story.initech.folder / f"released/{story.ran}.json":
            copied = party.folder / file.relative_to(story.initech.folder)
            copied.parent.mkdir(exist_ok=True)
            copied.write_bytes(file.read_bytes())
        refused(party.run("output", "fetch", story.ran, check=False), "release.no_secret")
        assert party.run("decrypt", str(secret), check=False).returncode != 0
    assert not list((story.initech.folder / "keys").glob("input-*")) and not (story.globex.folder / "output/stdout").exists()


def test_the_receiver_believes_the_machine_that_he_gave_his_key_to(story):
    """A server that gives another output, another receipt, or another policy to the run."""
    initech = story.initech
    remembered = initech.folder / f"released/{story.ran}.json"
    was = remembered.read_text()
    for member, other, code in (
            ("machine", Key("sig").jwk, "receipt."), ("run_nonce", "A" * 43, "receipt."),
            ("sandbox", "sbx_" + "0" * 32, "receipt.wrong_machine"), ("policy_hash", "sha256:" + "0" * 64, "policy.other_hash")):
        remembered.write_text(json.dumps({**json.loads(was), member: other}))
        refused(initech.run("output", "fetch", story.ran, "--dest", "other", check=False), code)
    remembered.write_text(was)
    output, receipt = story.acme.stack.sql("SELECT output_object, receipt FROM orchestrator.run WHERE id = %s", story.ran)[0]
    altered = json.loads(receipt)
    altered["signatures"][0]["sig"] = altered["signatures"][0]["sig"][:-6] + "AAAA=="
    story.acme.stack.sql("UPDATE orchestrator.run SET receipt = %s WHERE id = %s", json.dumps(altered), story.ran)
    refused(initech.run("output", "fetch", story.ran, "--dest", "other", check=False), "receipt.")
    story.acme.stack.sql("UPDATE orchestrator.run SET receipt = %s WHERE id = %s", receipt, story.ran)
    assert output and not (initech.folder / "other").exists()
    initech.run("output", "fetch", story.ran, "--dest", "other")
