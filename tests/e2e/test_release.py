# SPDX-License-Identifier: Apache-2.0
"""Two tenants and three keys, from the command line alone: two people of globex have data, acme has the algorithm and runs it.
They hand over commitments, each looks at acme's sandbox himself and releases his key to that machine and run only, or takes
it back."""
import json
import os
import re
import subprocess

import pytest

from local_stack import BUILD, unique, wait_for
from project import App, shell

ROWS = (("1", "secret one"), ("2", "secret two"))
PROGRAM = shell("cat /input/*/*; echo kept >/output/kept")


def task_of(plan, key):
    """The text of one task of main.yml."""
    found, = re.findall(rf"(?ms)^    - name: [^\n]*\n      {key}:\n.*?(?=^    - name: |\Z)", plan)
    return found


class Party(App):
    """A project of a tenant, with a certificate of its own."""

    def __init__(self, stack, folder, member):
        self.member = member
        folder.mkdir()
        super().__init__(BUILD / "bin/strongroom", stack, folder, unique(member), rows=ROWS)

    def configure(self, member=None, check=True):
        return super().configure(self.member, check)

    def certificate(self):
        self.run("run", "--until", "get-certs")
        return self.outputs("get-certs")

    @property
    def key(self):
        return self.outputs("get-certs")["key"]

    def in_space(self, space, *tasks):
        for task in tasks:
            self.plan = self.plan.replace(f"      {task}:\n", f"      {task}:\n        space: {space}\n")
        (self.folder / "main.yml").write_text(self.plan)

    def start(self):
        """Goes on with the plan in the background; what it says is in the file `stderr`."""
        return subprocess.Popen([self.program, "run"], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=open(self.folder / "stderr", "w"),
                                env={**os.environ, "XDG_CONFIG_HOME": str(self.config)})

    def json(self, member, *arguments):
        """The first object of the answer that has this member."""
        lines = map(json.loads, self.run("--json", *arguments).stdout.splitlines())
        return next(line for line in lines if member in line)


def befriend(*parties):
    """They compare keys, and the first one's tenant meets the others' in a space."""
    for one in parties:
        for other in parties:
            if other is not one:
                one.run("peer", "add", other.name, "--spki", other.certificate()["spki"])
    acme, globex, *_ = parties
    name = unique("study")
    space = acme.json("id", "space", "create", name)["id"]
    acme.run("space", "invite", name, "--to", globex.name, "--key", acme.key, "--out", "invitation")
    globex.run("space", "accept", str(acme.folder / "invitation"), "--key", globex.key)
    return space


def give_data(party, space, offers):
    """Data and nothing else."""
    whole = party.plan
    party.plan = whole[:whole.index("    - name: ")] + task_of(whole, "get-certs") + task_of(whole, "get-data-projection")
    party.in_space(space, "get-data-projection")
    party.run("run")
    party.run("offer", "--out", str(offers / f"{party.name}.json"))


@pytest.fixture(scope="module")
def parties(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    acme, globex, third = (Party(stack, folder / name, member) for name, member in (
        ("acme", "acme-owner"), ("globex", "globex-owner"), ("third", "globex-owner")))
    space = befriend(acme, globex, third)
    offers = acme.folder / "offers"
    offers.mkdir()
    for party in (globex, third):
        give_data(party, space, offers)
    acme.plan = acme.plan.replace(task_of(acme.plan, "get-data-projection"), "")
    acme.plan = acme.plan.replace("      prepare-policy:\n", "      prepare-policy:\n        offers: offers\n")
    acme.in_space(space, "set-sandbox-specs", "prepare-policy")
    acme.write_plan(PROGRAM)
    acme.run("run", "--until", "get-client-keypair")
    for party in (globex, third):  # who reads the output is a key of its own
        party.run("peer", "add", f"{acme.name}-receiver", "--spki", acme.outputs("get-client-keypair")["spki"])
    yield acme, globex, third
    acme.delete_sandbox()


class Running:
    """Acme's client at work on a run that waits for the others, who agreed to its policy: each run has one of its own."""

    def __init__(self, acme, *owners):
        self.acme, last = acme, self.of(acme)
        acme.run("run", *(["--from", "execute-policy"] if last else []), "--until", "upload-policy")
        for owner in owners:
            owner.run("approve", acme.outputs("upload-policy")["policy_id"], "--key", owner.key, "--yes")
        self.client = acme.start()
        self.run = wait_for(lambda: (run := self.of(acme)) != last and run, "a run", 120)
        wait_for(lambda: self.said().count("waits for input/") >= 2, "the client to say whom it waits for", 60)
        assert self.client.poll() is None, self.said()

    @staticmethod
    def of(acme):
        return acme.state()["tasks"].get("execute-policy", {}).get("work", {}).get("create-run")

    def said(self):
        return (self.acme.folder / "stderr").read_text()

    def end(self):
        return self.client.wait(120)


EXITS = {"peer.unpinned": 6, "order.blocked": 6, "order.started": 6}


def arguments(party, run, *more):
    return ("release", run, "--key", party.key, "--accept-evidence", "none", *more)


def refused(party, code, run, *more):
    party.refused(party.run(*arguments(party, run, *more), check=False), EXITS.get(code, 1), code)


def release(party, run):
    """Who is missing then."""
    return [slot["owner"] for slot in party.json("released", *arguments(party, run, "--yes"))["missing"]]


def test_what_was_taken_back_is_not_run(parties):
    acme, globex, third = parties
    running = Running(acme, globex, third)
    assert release(globex, running.run) == [third.outputs("get-certs")["spki"]]
    globex.run(*arguments(globex, running.run, "--withdraw"))
    assert running.end() == 6
    assert "grant.withdrawn" in running.said() and "run.refused" in running.said()
    refused(third, "order.blocked", running.run, "--yes")


def test_the_owners_release_to_this_run_only(parties):
    acme, globex, third = parties
    running = Running(acme, globex, third)
    assert f"at {globex.name}" in running.said() and f"at {third.name}" in running.said()
    plain = globex.run("release", running.run, "--key", globex.key, "--yes", check=False)
    globex.refused(plain, 7, "evidence.class_too_low")  # nothing less than a TEE unless the owner says so
    globex.run("peer", "remove", acme.name)
    refused(globex, "peer.unpinned", running.run, "--yes")
    globex.run("peer", "add", acme.name, "--spki", acme.outputs("get-certs")["spki"])
    refused(globex, "client.not_confirmed", running.run)
    assert len(release(globex, running.run)) == 1 and release(third, running.run) == []
    assert running.end() == 0, running.said()
    assert acme.stdout() == "CODE,DESCRIPTION\n1,secret one\n2,secret two\n" * 2
    assert acme.receipt()["run"] == running.run
    refused(globex, "order.started", running.run, "--withdraw")


def test_nobody_has_anothers_secret(parties):
    """Key files are each profile's own; acme never had the data's."""
    acme, globex, third = parties
    assert not [path.name for path in (acme.folder / "keys").iterdir() if path.name.startswith("input-")]
    for party, other in ((acme, globex), (third, globex), (globex, acme)):
        one = next((other.folder / "keys").glob("*-openings.jwe"))
        (party.folder / "keys" / f"stolen-{one.name}").write_bytes(one.read_bytes())
        assert party.run("decrypt", f"keys/stolen-{one.name}", check=False).returncode != 0
        (party.folder / "keys" / f"stolen-{one.name}").unlink()
