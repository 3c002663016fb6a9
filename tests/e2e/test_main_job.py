# SPDX-License-Identifier: Apache-2.0
"""The main job as a user does it: configure, setup, run, on a built image and a real table; again, changed, without opt-in.
STRONGROOM_CONDITIONS_CSV: Synthea's sample; the generator's table otherwise."""
import base64
import json
import os
import stat
import subprocess

import pytest
from client_project import Project
from local_stack import BUILD, ROOT

CSV = os.environ.get("STRONGROOM_CONDITIONS_CSV")
NOTICE = "measured, not confidential: the host's root can read everything"
BEFORE_THE_DATA = ["populate-codebase", "get-certs", "get-client-keypair", "get-symmetric-algokey", "set-sandbox-specs",
                   "dockerize-algo"]


def expected():
    """What describe must say, as {"count": …}."""
    if CSV:
        return {"count": "8376", "unique": "129", "top": "Viral sinusitis (disorder)", "freq": "1248"}
    lines = subprocess.run([ROOT / "examples/conditions/generate", "--figures"], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines)


def prepared(stack, folder):
    made = Project(BUILD / "bin/strongroom", stack, folder)
    made.configure()
    subprocess.run([ROOT / "examples/conditions/prepare", folder, *([CSV] if CSV else [])], check=True)
    return made


@pytest.fixture(scope="module")
def project(stack, tmp_path_factory):
    made = prepared(stack, tmp_path_factory.mktemp("main"))
    made.run("setup", "--answers", "answers.yml")
    yield made
    made.run("sandbox", "delete", made.state()["sandbox"]["id"], check=False)


@pytest.fixture(scope="module")
def first(project):
    """What the first run said on stderr."""
    return project.run("run").stderr


def printed(project):
    """The output's lines as {first word: the rest}."""
    lines = (project.folder / "output/stdout").read_text().splitlines()
    return {name: rest.strip() for name, rest in (line.split(maxsplit=1) for line in lines)}


def predicate(project):
    receipt = json.loads((project.folder / project.state()["tasks"]["retrieve-output"]["outputs"]["receipt"]).read_text())
    return json.loads(base64.b64decode(receipt["payload"]))["predicate"]


def objects(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.smoke
def test_a_run_says_what_describe_says(project, first):
    said = printed(project)
    assert {name: said[name] for name in ("count", "unique", "top", "freq")} == expected()
    table = (project.folder / "output/output/describe.csv").read_text().splitlines()
    assert table[0] == "count,unique,top,freq" and table[1].startswith(f"{said['count']},{said['unique']},")
    receipt = predicate(project)
    assert receipt["boot_id"] == said["boot_id"]
    kept = (project.profile() / "checkpoint").read_text().split("\n")
    assert 0 < receipt["log_head"]["size"] <= int(kept[1]), "the agent saw the log that the client keeps"
    assert (receipt["exit_code"], receipt["signal"], receipt["limits_hit"], receipt["class"]) == (0, 0, [], "software-tpm")
    assert first.count(NOTICE) >= 1


def test_what_was_done_is_skipped_and_json_is_a_line_each(project, first):
    lines = objects(project.run("--json", "run"))
    assert lines[0]["type"] == "version" and lines[0]["ui"] == "1.0"
    assert all("type" in line and "time" in line for line in lines)
    assert [line["state"] for line in lines if line["type"] == "task"] == ["skip"] * 13
    assert lines[-1] | {"time": ""} == {"type": "result", "time": "", "path": "output", "returncode": 0}


def test_another_run_has_another_boot_key_and_receipt(project, first):
    before, state = predicate(project), project.state()
    lines = objects(project.run("--json", "run", "--from", "execute-policy"))
    evidence = [line for line in lines if line["type"] == "evidence"]
    assert evidence and all(line["text"] == NOTICE and line["operator_can_read"] for line in evidence)
    receipt, said = predicate(project), printed(project)
    assert {name: said[name] for name in ("count", "unique", "top", "freq")} == expected()
    assert said["boot_id"] == receipt["boot_id"]
    assert all(receipt[name] != before[name] for name in ("boot_id", "run", "run_nonce", "enc", "sig", "policy"))
    assert receipt["sandbox"] == before["sandbox"]
    keys = [each["tasks"]["output-encrypt-bundle"]["outputs"]["key"] for each in (state, project.state())]
    assert keys[0] != keys[1]


def test_plan_tells_what_an_edit_means(project, first):
    assert project.run("plan", "--exit-code", check=False).returncode == 0
    data = project.folder / "data/conditions.csv"
    before = data.read_bytes()
    data.write_bytes(before + b"2001-01-01,,p,e,1,Viral sinusitis (disorder)\n")
    done = project.run("--json", "plan", "--exit-code", check=False)
    data.write_bytes(before)
    assert done.returncode == 3
    verdicts = {line["task"]: line for line in objects(done) if line["type"] == "result"}
    assert [task for task, line in verdicts.items() if line["verdict"] == "skip"] == BEFORE_THE_DATA
    assert verdicts["get-data-projection"]["verdict"] == "changed"
    assert verdicts["get-data-projection"]["why"] == "changed: file data/conditions.csv"
    assert project.run("plan", "--exit-code", check=False).returncode == 0


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_secret_is_private(project, first):
    folders = [project.profile(), *(project.folder / name for name in ("keys", "output", "output/output"))]
    assert {str(folder): mode(folder) for folder in folders} == {str(folder): 0o700 for folder in folders}
    files = [*project.profile().iterdir(), *project.folder.glob("keys/*.jwe"), project.folder / ".pbstate",
             project.folder / ".register", *(path for path in project.folder.glob("output/**/*") if path.is_file())]
    assert len(files) > 12
    assert {str(file): mode(file) for file in files} == {str(file): 0o600 for file in files}


def test_no_plaintext_lies_beside_the_data(project, first):
    """Neither of the data nor of the image: what is left in build/ and artefacts/ is ciphertext."""
    row = (project.folder / "data/conditions.csv").read_bytes().splitlines()[5]
    for path in project.folder.rglob("*"):
        if path.is_file() and path.parent.name not in ("data", "src", "app", "output"):
            assert row not in path.read_bytes(), path
            assert b"split_record" not in path.read_bytes(), path


def test_another_policy_has_another_output_key(project, first):
    """Also when nothing but a limit was edited."""
    def key():
        return project.state()["tasks"]["output-encrypt-bundle"]["outputs"]["key"]
    plan, before = project.folder / "main.yml", key()
    text = plan.read_text()
    plan.write_text(text.replace("      prepare-policy:\n", "      prepare-policy:\n        limits: {wall_seconds: 90}\n"))
    project.run("run", "--until", "upload-policy")
    assert key() != before
    after = key()
    project.run("run", "--until", "upload-policy")
    assert key() == after
    plan.write_text(text)


def test_without_the_opt_in_such_evidence_is_refused(stack, tmp_path):
    careful = prepared(stack, tmp_path)
    answers = tmp_path / "answers.yml"
    answers.write_text(answers.read_text().replace("accept_evidence: software-tpm\n", "").replace("name: conditions", "name: careful"))
    careful.run("setup", "--answers", "answers.yml")
    done = careful.run("--json", "run", check=False)
    assert done.returncode == 7, done.stdout
    error = objects(done)[-1]
    assert (error["type"], error["code"], error["exit"]) == ("error", "evidence.class_too_low", 7) and error["help"]
    assert "sandbox" not in careful.state(), "keys of a machine that was not believed"
    pipelines = stack.client("acme-owner").get("/v1/pipelines?page_size=200").json()["items"]
    assert not [pipeline for pipeline in pipelines if pipeline["name"].startswith("careful")]
    for sandbox in stack.client("acme-owner").get("/v1/sandboxes?page_size=200").json()["items"]:
        if sandbox["name"].startswith("careful"):
            careful.run("sandbox", "delete", sandbox["id"])
