# SPDX-License-Identifier: Apache-2.0
"""Globex runs acme's image over its own data, and never has its key: acme offers a commitment to it, shares the application with
their space, agrees to the policy and releases the key to the one machine. The data's scoped policy is pinned and held on the way."""
import base64
import json

import pytest

from local_stack import BUILD, unique, wait_for
from project import shell
from test_release import Party, befriend, task_of
from trust import digest, jcs

PROGRAM = shell("cat /input/*/*; cat /opt/fortanix/enclave-os/app-config/rw/greeting; echo kept >/output/kept")
LENT = ("populate-codebase", "get-symmetric-algokey", "dockerize-algo")  # what acme does instead of globex


class Loan:
    def __init__(self, stack, folder):
        self.stack = stack
        self.acme, self.globex = (Party(stack, folder / name, f"{name}-owner") for name in ("acme", "globex"))
        self.name, self.space = unique("app"), befriend(self.globex, self.acme)
        self.offer_image()
        self.borrow()

    def offer_image(self):
        acme, offers = self.acme, self.globex.folder / "offers"
        offers.mkdir()
        acme.run("run", "--until", "dockerize-algo")
        acme.run("offer", "--image", "--out", str(offers / "acme.json"))
        image = acme.outputs("dockerize-algo")
        app = acme.json("id", "app", "create", self.name, "--image", f"{image['repository']}@{image['manifest']}")
        self.task = app["build"]["task"]
        self.stack.client("acme-owner").made("/v1/app-configs", {"name": self.name, "app": app["id"], "app_config": {
            "/opt/fortanix/enclave-os/app-config/rw/greeting": {"contents": base64.b64encode(b"hello").decode()}}})

    def borrow(self):
        globex, answers = self.globex, self.globex.folder / "answers.yml"
        answers.write_text(answers.read_text() + f"app: {{name: {self.name}, config: {self.name}}}\n")
        globex.run("setup", "--answers", "answers.yml", "--force")
        globex.plan = (globex.folder / "main.yml").read_text()
        for task in LENT:
            globex.plan = globex.plan.replace(task_of(globex.plan, task), "")
        globex.plan = "\n".join(line for line in globex.plan.split("\n") if "algo_metadata" not in line)
        globex.plan = globex.plan.replace("      prepare-policy:\n", "      prepare-policy:\n        offers: offers\n")
        globex.in_space(self.space, "set-sandbox-specs", "prepare-policy")
        globex.write_plan(PROGRAM)

    def demand(self):
        """Globex of its own data: this image and no other."""
        offer = json.loads((self.globex.folder / "offers/acme.json").read_text())
        subject = self.globex.outputs("get-data-projection")["dataset_id"]
        document = {"v": "strongroom-constraints-1", "scope": "dataset", "subject": subject, "name": "this-image", **{m: None for m in (
            "templates", "runners", "recipients", "evidence", "egress", "limits", "gates", "not_after")},
            "images": [offer["image"]["manifest"]]}
        self.stack.client("globex-owner").made("/v1/constraints", {"document": document})
        return {"scope": "dataset", "subject": subject, "hash": digest(jcs(document))}


@pytest.fixture(scope="module")
def loan(stack, tmp_path_factory):
    made = Loan(stack, tmp_path_factory.mktemp("loan"))
    yield made
    made.globex.delete_sandbox()


def test_an_application_is_shown_before_it_is_lent(loan):
    """Globex' client takes the application from acme's share, and the server the policy once acme approved the build."""
    acme, globex = loan.acme, loan.globex
    refused = globex.run("run", "--until", "upload-policy", check=False)
    globex.refused(refused, 1, "client.not_found")
    acme.run("app", "share", loan.name, "--space", loan.space)
    refused = globex.run("run", "--until", "upload-policy", check=False)
    assert refused.returncode != 0 and "app.build_not_approved" in refused.stderr
    acme.run("task", "approve", loan.task)
    pinned = loan.demand()
    globex.run("run", "--from", "prepare-policy", "--until", "upload-policy")
    document = json.loads((globex.folder / "policy/policy.json").read_text())
    assert document["constraints"] == [pinned] and document["app"]["app_config_id"]
    assert document["slots"]["image"]["owner"] == acme.certificate()["spki"]
    assert [rule["objects"] for rule in document["approval"]["rules"]] == [[], [document["app"]["id"]]]
    acme.run("peer", "add", f"{globex.name}-receiver", "--spki", globex.outputs("get-client-keypair")["spki"])


def run_of(globex):
    return globex.state()["tasks"].get("execute-policy", {}).get("work", {}).get("create-run")


def test_a_loan_that_was_called_back_is_not_run(loan):
    acme, globex = loan.acme, loan.globex
    acme.run("approve", globex.outputs("upload-policy")["policy_id"], "--key", acme.key, "--yes")
    acme.run("app", "unshare", loan.name, "--space", loan.space)
    refused = globex.run("run", check=False)
    assert refused.returncode == 6 and "image.not_shared" in refused.stderr, refused.stderr
    acme.run("app", "share", loan.name, "--space", loan.space)


def test_globex_runs_what_it_cannot_open(loan):
    acme, globex, last = loan.acme, loan.globex, run_of(loan.globex)
    globex.run("run", "--from", "execute-policy", "--until", "upload-policy")
    acme.run("approve", globex.outputs("upload-policy")["policy_id"], "--key", acme.key, "--yes")
    with globex.start() as client:
        run = wait_for(lambda: client.poll() is not None or (run := run_of(globex)) != last and run, "a run", 120)
        assert client.poll() is None, (globex.folder / "stderr").read_text()
        acme.run("release", run, "--key", acme.key, "--accept-evidence", "none", "--yes")
        assert client.wait(180) == 0, (globex.folder / "stderr").read_text()
    assert globex.stdout() == "CODE,DESCRIPTION\n1,secret one\n2,secret two\nhello" and globex.receipt()["run"] == run
    assert not (globex.folder / "keys/image.jwe").exists() and not list((acme.folder / "keys").glob("input-*"))
    tenant = loan.stack.client("globex-owner").get("/v1/tenants/self").json()["id"]
    assert loan.stack.sql("SELECT 1 FROM registry_gw.manifest WHERE tenant_id = %s AND digest = %s", tenant,
                          globex.receipt()["image"]["manifest"]) == []  # it was never there
