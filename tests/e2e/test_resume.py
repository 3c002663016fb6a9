# SPDX-License-Identifier: Apache-2.0
"""The main job with the client killed at every point on its way: the same output, and nothing done twice."""
import json

import pytest
from client_project import Project, program_with_hooks
from local_stack import wait_for

FIGURES = ["count 8000", "unique 120", "top Viral sinusitis (disorder)", "freq 1142"]


@pytest.fixture(scope="module")
def program():
    return program_with_hooks()


def make(program, stack, folder, name):
    folder.mkdir()
    project = Project(program, stack, folder)
    project.configure()
    project.prepare(name)
    return project


@pytest.fixture(scope="module")
def whole(program, stack, tmp_path_factory):
    """A project that ran undisturbed, and the points that it passed."""
    folder = tmp_path_factory.mktemp("whole")
    project = make(program, stack, folder / "p", "whole")
    log = folder / "points"
    project.run("run", STRONGROOM_CRASH_LOG=str(log))
    return project, list(dict.fromkeys(log.read_text().splitlines()))


def figures(project):
    lines = (project.folder / "output/stdout").read_text().splitlines()
    return [" ".join(line.split()) for line in lines[:4]]


def rows(stack, table, column, value):
    return stack.sql(f"SELECT count(*) FROM {table} WHERE {column} = %s", value)[0][0]


def test_edited_data_runs_what_follows_and_restarts_the_sandbox(program, stack, tmp_path):
    project = make(program, stack, tmp_path / "p", "edited")
    project.run("run")
    assert figures(project) == FIGURES
    before = project.state()
    data = project.folder / "data/conditions.csv"
    data.write_text(data.read_text() + "2001-01-01,,p,e,444814009,Viral sinusitis (disorder)\n")
    again = [json.loads(line) for line in project.run("--json", "run").stdout.splitlines()]
    assert [line["task"] for line in again if line.get("state") == "skip"] == [
        "populate-codebase", "get-certs", "get-client-keypair", "get-symmetric-algokey", "set-sandbox-specs",
        "dockerize-algo"]
    assert figures(project) == ["count 8001", "unique 120", "top Viral sinusitis (disorder)", "freq 1143"]
    after = project.state()
    assert after["sandbox"]["id"] == before["sandbox"]["id"] and after["sandbox"]["boot"] == before["sandbox"]["boot"] + 1
    keys = [state["tasks"]["output-encrypt-bundle"]["outputs"]["key"] for state in (before, after)]
    assert keys[0] != keys[1]


def test_a_sandbox_that_is_lost_twice(program, stack, tmp_path):
    """Each time before the order is placed: another one is made, for the same run."""
    project = make(program, stack, tmp_path / "p", "lost")
    seen = []
    for _ in range(2):
        done = project.run("run", check=False, STRONGROOM_CRASH_AT="before:post-order-1")
        assert done.returncode == -9, done.stderr
        seen.append(project.state()["sandbox"]["id"])
        project.run("sandbox", "delete", seen[-1])
    project.run("run")
    assert figures(project) == FIGURES
    last = project.state()["sandbox"]["id"]
    assert len({*seen, last}) == 3
    assert stack.sql("SELECT count(DISTINCT claim) FROM provisioner.sandbox WHERE name = 'lost'") == [(3,)]
    project.run("sandbox", "delete", last)


def test_killed_behind_the_removal_of_the_original(whole):
    """The end of the last task, where nothing is recorded yet and what it read from is gone."""
    project = whole[0]
    plan = project.folder / "main.yml"
    text = plan.read_text()
    assert text.count('keep_original: "true"') == 1
    plan.write_text(text.replace('keep_original: "true"', 'keep_original: "false"'))
    original = project.folder / project.state()["tasks"]["retrieve-output"]["outputs"]["path"]
    assert original.exists()
    killed = project.run("run", check=False, STRONGROOM_CRASH_AT="done:decrypt-output")
    assert killed.returncode == -9 and not original.exists()
    assert project.state()["tasks"]["decrypt-output"]["state"] == "running"
    project.run("run")
    assert project.state()["tasks"]["decrypt-output"]["state"] == "done"
    assert figures(project) == FIGURES
    states = [json.loads(line).get("state") for line in project.run("--json", "run").stdout.splitlines()]
    assert states.count("skip") == 13 and "start" not in states


def verdicts(project, *options):
    lines = map(json.loads, project.run("--json", "plan", *options).stdout.splitlines())
    return {line["task"]: (line["verdict"], line["why"]) for line in lines if line["type"] == "result"}


def test_another_run_waits_until_the_last_is_over(program, stack, tmp_path):
    project, member = make(program, stack, tmp_path / "p", "alive"), stack.client("acme-owner")
    assert project.run("run", check=False, STRONGROOM_CRASH_AT="before:create-run").returncode == -9
    sandbox = f"/v1/sandboxes/{project.state()['sandbox']['id']}"
    project.run("sandbox", "stop", sandbox.rpartition("/")[2])
    wait_for(lambda: member.get(sandbox).json()["state"] == "stopped", "the sandbox is stopped")
    assert project.run("run", check=False, STRONGROOM_CRASH_AT="before:get-run").returncode == -9
    old = project.state()["run"]

    refused = project.run("run", "--from", "execute-policy", check=False)
    assert refused.returncode == 8 and "run.alive" in refused.stderr and old in refused.stderr, refused.stderr
    assert "--cancel-old" in refused.stderr and project.state()["tasks"]["execute-policy"]["work"]["create-run"] == old
    assert member.get(sandbox).json()["state"] == "stopped"
    assert member.get(f"/v1/runs/{old}").json()["state"] in ("queued", "awaiting_grants")
    assert verdicts(project, "--from", "execute-policy")["output-encrypt-bundle"] == ("run", "another run was asked for")

    project.run("run", "--from", "execute-policy", "--cancel-old")
    assert figures(project) == FIGURES and project.state()["run"] != old
    assert member.get(f"/v1/runs/{old}").json()["state"] == "cancelled"
    assert project.run("run", "cancel", old).stdout.split() == [old, "cancelled"]
    assert old in project.run("run", "list").stdout

    assert {verdict for verdict, _ in verdicts(project).values()} == {"skip"}
    plan = project.folder / "main.yml"
    plan.write_text(plan.read_text().replace("prepare-policy:\n", 'prepare-policy:\n        max_runs: "7"\n'))
    told = verdicts(project)
    assert told["output-encrypt-bundle"] == ("run", "each run has a key of its own, and a run has had this one")
    assert told["get-data-projection"][0] == "skip" and told["prepare-policy"][0] == "changed"


def test_killed_at_every_point(program, stack, tmp_path, whole):
    points = whole[1]
    assert len(points) > 70 and "done:decrypt-output" in points and points[-1] == "end:run"

    project = make(program, stack, tmp_path / "killed", "killed")
    killed = [point for point in points if project.run("run", check=False, STRONGROOM_CRASH_AT=point).returncode == -9]
    assert killed == points, "a point was not passed: " + str(set(points) - set(killed))
    project.run("run")
    assert figures(project) == FIGURES

    state = project.state()
    made = {task: state["tasks"][task]["outputs"] for task in ("get-certs", "dockerize-algo", "execute-policy")}
    document = json.loads((project.folder / "policy/policy.json").read_text())
    assert document["image"]["manifest"] == made["dockerize-algo"]["manifest"]
    pipeline = stack.sql("SELECT id, version FROM policy.pipeline WHERE name = 'killed'")
    assert [version for _, version in pipeline] == [1]
    assert rows(stack, "certreg.certificate", "spki", made["get-certs"]["spki"]) == 1
    assert rows(stack, "provisioner.sandbox", "name", "killed") == 1
    assert rows(stack, "registry_gw.manifest", "repository", "acme/killed") == 1
    assert rows(stack, "policy.policy", "name", "killed") == 1
    assert rows(stack, "policy.dataset_version", "dataset_id", document["inputs"][0]["dataset"]) == 1
    assert rows(stack, "policy.run_order", "run_nonce", made["execute-policy"]["run_nonce"]) == 1
    assert rows(stack, "orchestrator.run", "pipeline_id", pipeline[0][0]) == 1
    assert rows(stack, "orchestrator.object", "run_id", made["execute-policy"]["id"]) == 1
